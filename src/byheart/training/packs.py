"""Packs: which replicas train together as one program, and on which device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.errors import InputError, choose
from byheart.networks.size import NetworkSize, size_of
from byheart.trial import Foreign, SensitivityProbe, Trial


@dataclass(frozen=True)
class Footprint:
    """How large a pack may be.

    Attributes:
        bytes: memory for weights and momentum, in bytes.
        working: bytes of what a training batch makes on its way forward.
        replicas: at most, however small they are.
    """

    bytes: int
    working: int
    replicas: int


FOOTPRINTS = {
    "cpu": Footprint(12 * 2**20, 2**26, 128),
    "cuda": Footprint(2**30, 2**34, 512),
    "mps": Footprint(2**28, 2**32, 256),
}
"""By device: on a CPU the weights should stay in the cache of a core, a GPU wants to be filled."""


def find_device(name: str) -> str:
    """Return the name of a device that is there.

    Args:
        name: "cpu", "cuda" or "mps"; "auto" is the first of cuda, mps and cpu that is there.

    Raises:
        InputError: byheart does not know it, or this machine does not have it.
    """
    choose("device", name, ("auto", *FOOTPRINTS))
    if name == "cpu":
        return name
    # Torch takes seconds to load; training on the CPU need not wait for it here.
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    there = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if not there:
        raise InputError(f"device '{name}' is not available here: use --device cpu")
    return name


@dataclass(frozen=True)
class Pack:
    """Trials of one shape, trained as replicas of one program."""

    trials: tuple[Trial, ...]

    @property
    def key(self) -> str:
        """Tells the pack from others of the same plan: the key of its first trial."""
        return self.trials[0].key

    @property
    def name(self) -> str:
        """Short name of a pack: what it trains, and how often."""
        first = self.trials[0]
        return f"{len(self.trials)} x {first.algorithm.network.name}, n={first.data.train}"


def trial_size(trial: Trial, shape: tuple[int, ...], classes: int) -> NetworkSize:
    """Return the size of one replica, for inputs and classes of the source."""
    network = trial.algorithm.network
    seen, outputs = trial.data.seen_shape(shape), trial.data.outputs(classes)
    if isinstance(network, Foreign):
        # Only making it tells, which takes torch; the others are counted without.
        from byheart.networks.examine import examine

        return examine(network.factory, seen, outputs).size
    return size_of(network, seen, outputs)


def make_packs(
    trials: Sequence[Trial], *, shape: tuple[int, ...], classes: int, device: str = "cpu"
) -> list[Pack]:
    """Group trials that can train together, and cut each group by its footprint.

    Trials share a pack if they differ only in seeds, corruption and numbers per replica: learning
    rate, its schedule, momentum, weight decay, and strengths of the same regularizers.

    Args:
        trials: with duplicates allowed; each is trained once.
        shape: shape of one input.
        classes: number of classes.
        device: the device that will train.

    Returns:
        Packs of about equal size within a group; the same trials give the same packs, in any order.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in sorted({t.key: t for t in trials}.values(), key=_order):
        groups.setdefault(shape_of(trial), []).append(trial)
    packs = []
    for group in groups.values():
        most = most_replicas(
            trial_size(group[0], shape, classes),
            group[0].algorithm.batch_size,
            momentum=any(t.algorithm.momentum for t in group),
            device=device,
        )
        if _differentiated(group[0]):
            most = 1
        count = math.ceil(len(group) / most)
        cuts = [round(i * len(group) / count) for i in range(count + 1)]
        packs += [Pack(tuple(group[a:b])) for a, b in itertools.pairwise(cuts)]
    return packs


def most_replicas(size: NetworkSize, batch_size: int, *, momentum: bool, device: str) -> int:
    """Return how many replicas of a network may train together, by their footprint; 1 or more."""
    footprint = FOOTPRINTS[device]
    kept = 4 * (2 if momentum else 1) * size.parameters
    made = 4 * size.activations * batch_size
    fitting = min(footprint.bytes // kept, footprint.working // made)
    return min(footprint.replicas, max(1, fitting))


def _differentiated(trial: Trial) -> bool:
    # Adjoints of several replicas would leave the cache; alone, a pack finds a free core sooner.
    return any(isinstance(probe, SensitivityProbe) for probe in trial.probes)


NUMBERS = {"learning_rate", "momentum", "weight_decay", "decay_every", "decay"}
STRENGTHS = {"dropout", "input_dropout", "input_noise", "hidden_noise", "adversarial_weight"}


def shape_of(trial: Trial) -> str:
    """Return what trials have in common that can share a pack."""
    # A pack whose replicas all do without a regularizer does not pay for it.
    algorithm = trial.algorithm.model_dump(mode="json", exclude=NUMBERS | STRENGTHS)
    used = sorted(name for name in STRENGTHS if getattr(trial.algorithm, name) > 0)
    data = trial.data.model_dump(mode="json", exclude={"inputs", "labels", "seed"})
    probes = [probe.model_dump(mode="json") for probe in trial.probes]
    return repr((data, algorithm, used, probes))


def _order(trial: Trial) -> tuple[str, float, float, int, int, str]:
    # Trials that take about equally long stand together, so that a pack shrinks at once.
    data = trial.data
    return (shape_of(trial), data.labels, data.inputs, data.seed, trial.seed, trial.key)

"""Packs: the replicas that train together as one program. A pure function of the trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.trial import Trial


@dataclass(frozen=True)
class Footprint:
    """How large a pack may be.

    Attributes:
        bytes: of weights and momentum.
        replicas: at most, however small they are.
    """

    bytes: int
    replicas: int


FOOTPRINTS = {
    "cpu": Footprint(12 * 2**20, 32),
    "cuda": Footprint(2**30, 512),
    "mps": Footprint(2**28, 256),
}
"""By device: on a CPU the weights should stay in the cache of a core, a GPU wants to be filled."""


@dataclass(frozen=True)
class Pack:
    """Trials of one shape, trained as replicas of one program."""

    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Short name of a pack: what it trains, and how often."""
        one = self.trials[0]
        hidden = "-".join(str(width) for width in one.algorithm.network.hidden)
        return f"{len(self.trials)} x {hidden}, n={one.data.train}"


def layer_sizes(trial: Trial, inputs: int, classes: int) -> tuple[int, ...]:
    """Return the widths from input to output."""
    return (inputs, *trial.algorithm.network.hidden, classes)


def parameters(trial: Trial, inputs: int, classes: int) -> int:
    """Return the number of weights and biases of one replica."""
    sizes = layer_sizes(trial, inputs, classes)
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def make_packs(
    trials: Sequence[Trial], *, inputs: int, classes: int, device: str = "cpu"
) -> list[Pack]:
    """Group trials that can train together, and cut each group by its footprint.

    Trials share a pack if they differ only in seeds, corruption, learning rate, momentum, weight
    decay and its schedule: everything that is a number per replica.

    Args:
        trials: with duplicates allowed; each is trained once.
        inputs: input dimensions of one example.
        classes: number of outputs.
        device: where they will train.

    Returns:
        Packs of about equal size within a group; the same trials give the same packs, in any order.
    """
    footprint = FOOTPRINTS[device]
    groups: dict[str, list[Trial]] = {}
    for trial in sorted({t.key: t for t in trials}.values(), key=_order):
        groups.setdefault(_shape(trial), []).append(trial)
    packs = []
    for group in groups.values():
        momentum = 2 if any(t.algorithm.momentum for t in group) else 1
        bytes_each = 4 * momentum * parameters(group[0], inputs, classes)
        most = min(footprint.replicas, max(1, footprint.bytes // bytes_each))
        count = math.ceil(len(group) / most)
        cuts = [round(i * len(group) / count) for i in range(count + 1)]
        packs += [Pack(tuple(group[a:b])) for a, b in itertools.pairwise(cuts)]
    return packs


def _shape(trial: Trial) -> str:
    algorithm = trial.algorithm.model_dump(
        mode="json", exclude={"learning_rate", "momentum", "weight_decay", "decay_every", "decay"}
    )
    probes = [probe.model_dump(mode="json") for probe in trial.probes]
    data = trial.data
    return repr((data.fingerprint, data.train, data.validation, algorithm, probes))


def _order(trial: Trial) -> tuple[str, float, float, int, int, str]:
    # Trials that take about equally long stand together, so that a pack shrinks at once.
    data = trial.data
    return (_shape(trial), data.labels, data.inputs, data.seed, trial.seed, trial.key)

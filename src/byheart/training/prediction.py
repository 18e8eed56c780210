"""How long packs take: short timings of each kind of work, times how much of it there is.

``byheart plan``, the first line of a study and its time left use the same prediction. Advice times
its short epochs with :func:`epoch_seconds` too, but counts steps: a user's network has no counted
operations.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from byheart.data.dataset import Dataset
from byheart.training.cost import KINDS, WorkKind, example_flops, flops_by_kind, share_done
from byheart.training.engine import at_goal, make_loop
from byheart.training.loop import TrainingLoop
from byheart.training.packs import STRENGTHS, Pack, trial_size
from byheart.training.probes import take_probes
from byheart.training.sensitivity import (
    sensitivity_probe,
    train_and_differentiate,
    updates_per_epoch,
)
from byheart.trial import (
    AccuracyProbe,
    CriticalProbe,
    Probe,
    SensitivityProbe,
    SharpnessProbe,
    Trial,
)

T = TypeVar("T")

MOMENT = 0.02
"""Seconds of training that are timed, at least."""
STEP_OPERATIONS = 3e8
"""Operations of one timed training step, at most: of a large pack only some replicas are timed."""
BATCHES = 4
"""Batches of a timed epoch, at most."""
PROBED = 64
"""Examples that a probe is timed on, at most."""
PROBE_WEIGHTS = 2e5
"""Weights of all replicas that a probe is timed on, at most; one replica in any case."""
ITERATIONS = 3
"""Iterations of a timed search for critical samples or for an eigenvalue."""
SHORTER = 16
"""Loss-sensitivity is timed on a training with this fraction of the updates."""
NOTHING_FOUND = 1e-9
"""A radius within which no search finds anything, so that it runs to its limit."""


@dataclass(frozen=True)
class Seconds:
    """How long work takes.

    Attributes:
        expected: with the shares of their limits that trials of the presets spent.
        at_most: if every trial spends its epochs and every search runs to its limit.
    """

    expected: float
    at_most: float


@dataclass(frozen=True)
class Speeds:
    """Seconds per FLOP, as :func:`byheart.training.cost.flops_by_kind` counts them.

    Attributes:
        training: by :func:`training_key` of the pack.
        probes: by kind of work.
    """

    training: Mapping[str, float]
    probes: Mapping[WorkKind, float]

    def of(self, trials: Sequence[Trial], shape: tuple[int, ...], classes: int) -> Seconds:
        """Return how long trials take, one after the other.

        Formula: sum over trials and kinds of work k of s_k f_k c_k, with f_k the operations, c_k
        the seconds of one, and s_k the share that is expected to be done (1 for ``at_most``).

        Args:
            trials: each counts, repeated or not.
            shape: shape of one input.
            classes: number of classes.
        """
        expected = at_most = 0.0
        # A later round may bring a network that was not timed.
        slowest = max(self.training.values(), default=0.0)
        for trial in trials:
            for kind, count in flops_by_kind(trial, shape, classes).items():
                pace = (
                    self.training.get(training_key(trial), slowest)
                    if kind == "training"
                    else self.probes.get(kind, slowest)
                )
                expected += share_done(trial, kind) * count * pace
                at_most += count * pace
        return Seconds(expected, at_most)


def speeds_at(packs: Sequence[Pack], operations: float) -> Speeds:
    """Return the speeds of a device that does all work at ``operations`` FLOP/s."""
    keys = {training_key(pack.trials[0]) for pack in packs}
    return Speeds(dict.fromkeys(keys, 1 / operations), dict.fromkeys(KINDS, 1 / operations))


@torch.no_grad()
def measure_speeds(packs: Sequence[Pack], dataset: Dataset, device: str = "cpu") -> Speeds:
    """Time one short epoch of each kind of pack, and one short probe of each kind.

    Args:
        packs: all that may be trained; the largest of each kind is timed.
        dataset: the clean source.
        device: "cpu", "cuda" or "mps".
    """
    threads = torch.get_num_threads()
    # As workers train: one thread each.
    torch.set_num_threads(1)
    try:
        largest: dict[str, Pack] = {}
        for pack in sorted(packs, key=lambda pack: len(pack.trials)):
            largest[training_key(pack.trials[0])] = pack
        training = {key: _training_pace(pack, dataset, device) for key, pack in largest.items()}
        return Speeds(training, _probe_paces(packs, dataset, device))
    finally:
        torch.set_num_threads(threads)


def training_key(trial: Trial) -> str:
    """Return what the speed of training depends on."""
    algorithm = trial.algorithm
    used = [name for name in sorted(STRENGTHS) if getattr(algorithm, name) > 0]
    network = algorithm.network.model_dump_json()
    data = trial.data.model_dump_json(include={"downsample", "unique_labels"})
    return f"{network} {algorithm.batch_size} {algorithm.stop} {used} {data}"


def _training_pace(pack: Pack, dataset: Dataset, device: str) -> float:
    """Return seconds per operation of training, from short epochs of some replicas."""
    trial = pack.trials[0]
    algorithm = trial.algorithm
    operations = example_flops(trial, trial_size(trial, dataset.shape, dataset.n_classes))
    fitting = int(STEP_OPERATIONS / (operations * algorithm.batch_size))
    replicas = pack.trials[: max(1, fitting)]
    train = min(trial.data.train, BATCHES * algorithm.batch_size)
    loop = make_loop(Pack(tuple(_short(t, train, ()) for t in replicas)), dataset, device=device)

    def look() -> None:
        float(at_goal(loop, algorithm).sum())

    return epoch_seconds(loop, device, look) / (len(replicas) * train * operations)


def epoch_seconds(
    loop: TrainingLoop, device: str, after: Callable[[], object] = lambda: None
) -> float:
    """Return the median time of an epoch: after a first, epochs of ``MOMENT`` seconds are timed.

    Args:
        loop: trains a pack on few examples.
        device: "cpu", "cuda" or "mps".
        after: what follows each epoch, timed with it.
    """

    def epoch() -> None:
        loop.train_epoch()
        after()

    loop.train_epoch()  # Buffers are made once.
    seconds: list[float] = []
    while sum(seconds) < MOMENT:
        seconds.append(timed(epoch, device)[1])
    return statistics.median(seconds)


def _short(trial: Trial, train: int, probes: tuple[Probe, ...]) -> Trial:
    """Return a trial on its first training examples."""
    data = trial.data.model_copy(
        update={"train": train, "validation": min(trial.data.validation, train)}
    )
    return trial.model_copy(update={"data": data, "probes": probes})


def timed(action: Callable[[], T], device: str) -> tuple[T, float]:
    """Return what an action returns, and how many seconds it took.

    On a CPU it is the processor time of this thread, so that other programs do not count.
    """
    clock = time.thread_time if device == "cpu" else time.perf_counter
    started = clock()
    result = action()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, clock() - started


def _probe_paces(packs: Sequence[Pack], dataset: Dataset, device: str) -> dict[WorkKind, float]:
    """Return seconds per operation of each kind of probe, from the pack with most such work."""
    most: dict[WorkKind, tuple[float, Pack]] = {}
    for pack in packs:
        total: Counter[WorkKind] = Counter()
        for trial in pack.trials:
            total.update(flops_by_kind(trial, dataset.shape, dataset.n_classes))
        for kind, count in total.items():
            if kind != "training" and count > most.get(kind, (0.0, pack))[0]:
                most[kind] = count, pack
    return {kind: _probe_pace(kind, pack, dataset, device) for kind, (_, pack) in most.items()}


def _probe_pace(kind: WorkKind, pack: Pack, dataset: Dataset, device: str) -> float:
    trial = pack.trials[0]
    if kind == "sweep":
        return _sweep_pace(trial, dataset, device)
    weights = trial_size(trial, dataset.shape, dataset.n_classes).products
    replicas = pack.trials[: max(1, int(PROBE_WEIGHTS / weights))]
    train = min(trial.data.train, trial.data.validation or PROBED, PROBED)
    probe, baseline = _short_probes(kind, trial.probes, train)
    few = Pack(tuple(_short(t, train, ()) for t in replicas))
    loop = make_loop(few, dataset, device=device)

    def take(taken: Probe) -> float:
        return timed(
            lambda: take_probes((taken,), 1, loop.network, loop.examples, ended=taken.at_end),
            device,
        )[1]

    def operations(counted: Probe) -> float:
        one_epoch = trial.algorithm.model_copy(update={"epochs": 1})
        short = _short(trial, train, (counted,)).model_copy(update={"algorithm": one_epoch})
        return flops_by_kind(short, dataset.shape, dataset.n_classes).get(kind, 0.0)

    take(probe)  # Buffers are made once.
    seconds, count = take(probe), operations(probe)
    if baseline is not None:
        seconds -= take(baseline)
        count -= operations(baseline)
    return max(0.0, seconds) / (count * len(replicas))


def _short_probes(
    kind: WorkKind, probes: Sequence[Probe], examples: int
) -> tuple[Probe, Probe | None]:
    """Return a probe that does a little work of a kind, and one that does all of it but that."""
    search = CriticalProbe(
        epochs=(1,), radii=(NOTHING_FOUND,), examples=examples, max_steps=ITERATIONS
    )
    for probe in probes:
        if isinstance(probe, CriticalProbe) and kind == "search":
            return search, None
        if isinstance(probe, CriticalProbe) and kind == "certificate":
            certify = {
                "certify_epochs": (1,),
                "certify_radii": (NOTHING_FOUND,),
                "certify_examples": examples,
            }
            return search.model_copy(update=certify), search
        if isinstance(probe, SharpnessProbe) and kind in ("curvature", "online"):
            # No search for an eigenvalue comes to this tolerance in so few iterations.
            limits = {"tolerance": 1e-7, "max_iterations": ITERATIONS, "online_iterations": 0}
            curvature = probe.model_copy(update=limits)
            if kind == "curvature":
                return curvature, None
            return curvature.model_copy(update={"online_iterations": 2 * ITERATIONS}), curvature
    return AccuracyProbe(epochs=(1,)), None


def _sweep_pace(trial: Trial, dataset: Dataset, device: str) -> float:
    """Return seconds per operation of differentiating a training, from one with fewer updates."""
    probe = sensitivity_probe(trial)
    assert probe is not None
    last = probe.evaluate_at[-1]
    updates = min(last, max(len(probe.evaluate_at), last // SHORTER))

    def earlier(times: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted({max(1, round(t * updates / last)) for t in times}))

    shorter: SensitivityProbe = probe.model_copy(
        update={
            "evaluate_at": earlier(probe.evaluate_at),
            "per_class_at": earlier(probe.per_class_at),
        }
    )
    epochs = math.ceil(updates / updates_per_epoch(trial))
    algorithm = trial.algorithm.model_copy(update={"epochs": epochs})
    short = trial.model_copy(update={"algorithm": algorithm, "probes": (shorter,)})
    _, seconds = timed(
        lambda: train_and_differentiate(Pack((short,)), shorter, dataset, device=device), device
    )
    return seconds / flops_by_kind(short, dataset.shape, dataset.n_classes)["sweep"]

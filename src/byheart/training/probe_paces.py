"""A moment of each kind of work that probes do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from byheart.data.dataset import Dataset
from byheart.networks.base import PackNetwork
from byheart.training.cost import Kind, work
from byheart.training.examples import Examples
from byheart.training.loop import TrainingLoop
from byheart.training.paces import clock
from byheart.training.packs import trial_size
from byheart.training.probes import take_probes
from byheart.trial import (
    AccuracyProbe,
    CriticalProbe,
    FiltersProbe,
    Probe,
    SharpnessProbe,
    Trial,
)

LOOKED_AT = 200
"""Examples that a probe is timed on, at most."""
AT_LEAST = 32
"""The fewest that a probe is timed on, however large the networks are."""
GENTLE = 1e10
"""Operations that some products with the Hessian may take on them."""
LARGE = 10**7
"""Weights beside which buffers and code are nothing."""
STEPS = 10
"""Iterations of a search that are timed, at most."""
ITERATIONS = 3
"""By which two searches for an eigenvalue differ that are timed."""
UNREACHED = 1e-7
"""Tolerance of an eigenvalue that no search comes to in so few iterations."""
NOTHING_FOUND = 1e-9
"""A radius within which no search finds anything, so that it goes to its limit."""


@dataclass(frozen=True)
class Stage:
    """Some replicas and the first of their examples, to take probes on.

    Attributes:
        trial: stands for all; as small as what is taken.
        network: the replicas.
        examples: theirs.
        shape: of one input of the source.
        classes: of the source.
    """

    trial: Trial
    network: PackNetwork
    examples: Examples
    shape: tuple[int, ...]
    classes: int

    @classmethod
    def of(cls, trial: Trial, loop: TrainingLoop, dataset: Dataset) -> Stage:
        """Return the live replicas of a loop with the first examples of each."""
        examples, products = loop.examples, 12 * (1 + ITERATIONS)
        weights = trial_size(trial, dataset.shape, dataset.n_classes).products
        fitting = int(GENTLE / (products * weights * loop.network.replicas))
        count = min(LOOKED_AT, max(AT_LEAST, fitting))
        few = replace(
            examples,
            train_rows=examples.train_rows[:, :count],
            train_y=examples.train_y[:, :count],
            noisy=examples.noisy[:, :count],
            validation_rows=examples.validation_rows[:, :count],
            validation_y=examples.validation_y[:, :count],
        )
        sizes = {
            "train": few.train_rows.shape[1],
            "validation": few.validation_rows.shape[1],
        }
        small = {
            "data": trial.data.model_copy(update=sizes),
            "algorithm": trial.algorithm.model_copy(update={"epochs": 1}),
        }
        return cls(
            trial.model_copy(update=small), loop.network, few, dataset.shape, dataset.n_classes
        )

    def pace(self, kind: Kind, probe: Probe, less: Probe | None = None) -> float:
        """Return seconds per operation of one kind.

        Args:
            kind: of work.
            probe: whose work is timed.
            less: the same with less of this kind; its time and its operations are taken off.
        """
        if self.network.replicas * self._weights() < LARGE:
            # Once before, since whoever is first makes buffers and loads code.
            self._seconds(less or probe)
        passed = self._seconds(probe) - (self._seconds(less) if less else 0.0)
        count = self._operations(kind, probe)
        count -= self._operations(kind, less) if less else 0.0
        return max(0.0, passed) / (count * self.network.replicas)

    def _weights(self) -> int:
        return trial_size(self.trial, self.shape, self.classes).products

    def _seconds(self, probe: Probe) -> float:
        device = self.examples.pool.device.type
        started = clock(device)
        take_probes((probe,), 1, self.network, self.examples, ended=probe.at_end)
        return clock(device) - started

    def _operations(self, kind: Kind, probe: Probe) -> float:
        small = self.trial.model_copy(update={"probes": (probe,)})
        return work(small, self.shape, self.classes).get(kind, 0.0)


def probe_paces(stage: Stage, probes: Sequence[Probe]) -> Iterator[tuple[Kind, float]]:
    """Yield the pace of each kind of work that the probes do."""
    for probe in probes:
        match probe:
            case CriticalProbe():
                yield "search", stage.pace("search", _search(probe))
                if probe.certify_epochs:
                    yield "certificate", stage.pace("certificate", *_proofs(probe))
            case SharpnessProbe():
                yield "curvature", stage.pace("curvature", *_eigenvalues(probe))
                if probe.online_iterations:
                    yield "online", stage.pace("online", *_estimates(probe))
    if any(not isinstance(probe, FiltersProbe) for probe in probes):
        yield "forward", stage.pace("forward", AccuracyProbe(epochs=(1,)))


def _search(probe: CriticalProbe) -> CriticalProbe:
    """Return a search that goes to its limit."""
    return CriticalProbe(
        epochs=(1,),
        radii=(NOTHING_FOUND,),
        examples=min(probe.examples, LOOKED_AT),
        max_steps=min(probe.max_steps, STEPS),
    )


def _proofs(probe: CriticalProbe) -> tuple[CriticalProbe, CriticalProbe]:
    """Return certificates that the cheapest bounds give, and the same without certificates."""
    count = min(probe.certify_examples, LOOKED_AT)
    search = CriticalProbe(epochs=(1,), radii=(NOTHING_FOUND,), examples=count, max_steps=1)
    certified = {
        "certify_epochs": (1,),
        "certify_radii": (NOTHING_FOUND,),
        "certify_examples": count,
    }
    return search.model_copy(update=certified), search


def _eigenvalues(probe: SharpnessProbe) -> tuple[SharpnessProbe, SharpnessProbe]:
    """Return searches of some and of few products with the Hessian; none comes to its tolerance."""
    rough = {"online_iterations": 0, "tolerance": UNREACHED}
    more, few = (
        probe.model_copy(update=rough | {"max_iterations": count}) for count in (1 + ITERATIONS, 1)
    )
    return more, few


def _estimates(probe: SharpnessProbe) -> tuple[SharpnessProbe, SharpnessProbe]:
    """Return on-line estimates of some and of few iterations."""
    more, few = (
        probe.model_copy(update={"max_iterations": 1, "online_iterations": count})
        for count in (1 + 3 * ITERATIONS, 1)
    )
    return more, few

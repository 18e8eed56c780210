"""How long trainings take here, by a few steps of each kind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.trainer import Accuracies, Replica, Trainer
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.updates import EarlyStopping

STEPS = 3
SMALL, LARGE = 2, 16
"""Replicas of the two packs that are timed."""

Kind = type[Regularizer]


@dataclass(frozen=True)
class Line:
    """Seconds by number of replicas: a straight line through two packs."""

    start: float
    each: float

    @classmethod
    def through(cls, small: tuple[int, float], *larger: tuple[int, float]) -> Line:
        """Return the line through (replicas, seconds) of one pack or two; it never falls."""
        if not larger:
            return cls(0.0, small[1] / small[0])
        (large,) = larger
        each = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
        return cls(max(0.0, small[1] - each * small[0]), each)

    def seconds(self, replicas: int) -> float:
        """Return the seconds that a pack takes."""
        return self.start + self.each * replicas


@dataclass(frozen=True)
class Pace:
    """How long trainings take.

    Attributes:
        steps: number of them in a training.
        checkpoints: number of them in a training.
        step: seconds of a step, by regularizer.
        checkpoint: seconds of taking all accuracies.
        making: seconds to make a replica.
    """

    steps: int
    checkpoints: int
    step: Mapping[Kind, Line]
    checkpoint: Line
    making: float

    def of(self, pack: Sequence[Replica]) -> float:
        """Return the seconds that a pack takes."""
        replicas = len(pack)
        return (
            self.steps * self.step[pack[0].arm.kind].seconds(replicas)
            + self.checkpoints * self.checkpoint.seconds(replicas)
            + self.making * replicas
        )

    def rounds(self, trainer: Trainer, arms: Sequence[Arm], seeds: int) -> float:
        """Return the seconds that arms, and none, take on so many seeds."""
        return sum(self.of(pack) for pack in trainer.packs([PLAIN, *arms], range(seeds)))


def rehearse(trainer: Trainer, arms: Mapping[Kind, Sequence[Arm]]) -> Pace:
    """Time a few steps of every regularizer, and one look at all examples.

    Args:
        trainer: of the user's network.
        arms: by regularizer.
    """
    sizes = sorted({min(SMALL, trainer.most), min(LARGE, trainer.most)})
    kinds: dict[Kind, Arm] = {PLAIN.kind: PLAIN}
    kinds |= {kind: own[0] for kind, own in arms.items() if kind is not EarlyStopping}
    timings = {kind: [_time(trainer, arm, size) for size in sizes] for kind, arm in kinds.items()}
    plain = timings[PLAIN.kind]
    return Pace(
        steps=plain[0].batches * trainer.recipe.epochs,
        checkpoints=len(trainer.checkpoints),
        step={
            kind: Line.through(*((one.replicas, one.step) for one in own))
            for kind, own in timings.items()
        },
        checkpoint=Line.through(*((one.replicas, one.look) for one in plain)),
        making=max(one.making for own in timings.values() for one in own),
    )


@dataclass(frozen=True)
class _Timing:
    """Seconds that a pack takes: to make a replica, for a step, to look at all examples."""

    replicas: int
    batches: int
    making: float
    step: float
    look: float


def _time(trainer: Trainer, arm: Arm, size: int) -> _Timing:
    pack = [Replica(arm, r, r % 2 == 0) for r in range(size)]
    start = time.perf_counter()
    loop = trainer.loop(pack)
    making = (time.perf_counter() - start) / size
    batches = list(loop.batches(loop.draw_order()))
    steps = []
    for batch in batches[: STEPS + 1]:
        start = time.perf_counter()
        loop.take_step(batch)
        steps.append(time.perf_counter() - start)
    start = time.perf_counter()
    if arm is PLAIN:
        Accuracies(trainer.trusted, ()).take(loop)
    look = time.perf_counter() - start
    # The first step finds nothing in the caches.
    return _Timing(size, len(batches), making, min(steps[1:] or steps), look)

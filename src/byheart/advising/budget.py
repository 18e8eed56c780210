"""The time that an advice has, and how long trainings take of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.trainer import Accuracies, Replica, Trainer
from byheart.training.prediction import MOMENT, epoch_seconds, timed
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.updates import EarlyStopping

STEPS = 2, 16
"""Steps of a timed epoch, at most: of a slow network, and of a fast one."""
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
        """Return the seconds to train the arms and the plain network on ``seeds`` seeds."""
        return sum(self.of(pack) for pack in trainer.packs([PLAIN, *arms], range(seeds)))


def time_steps(trainer: Trainer, arms: Mapping[Kind, Sequence[Arm]]) -> Pace:
    """Time one short epoch of every regularizer, and one look at all examples.

    Args:
        trainer: trains the user's network.
        arms: by regularizer.
    """
    sizes = sorted({min(SMALL, trainer.most), min(LARGE, trainer.most)})
    kinds: dict[Kind, Arm] = {PLAIN.kind: PLAIN}
    kinds |= {kind: of_kind[0] for kind, of_kind in arms.items() if kind is not EarlyStopping}
    timings = {kind: [_time(trainer, arm, size) for size in sizes] for kind, arm in kinds.items()}
    plain = timings[PLAIN.kind]
    return Pace(
        steps=_steps(trainer, trainer.counts[0]) * trainer.recipe.epochs,
        checkpoints=len(trainer.checkpoints),
        step={
            kind: Line.through(*((timing.replicas, timing.step) for timing in of_kind))
            for kind, of_kind in timings.items()
        },
        checkpoint=Line.through(*((timing.replicas, timing.look) for timing in plain)),
        making=max(timing.making for of_kind in timings.values() for timing in of_kind),
    )


def _steps(trainer: Trainer, examples: int) -> int:
    """Return the number of steps of an epoch."""
    return math.ceil(examples / trainer.recipe.batch_size)


@dataclass(frozen=True)
class _Timing:
    """Seconds that a pack takes: to make a replica, for a step, to look at all examples."""

    replicas: int
    making: float
    step: float
    look: float


def _time(trainer: Trainer, arm: Arm, size: int) -> _Timing:
    device = trainer.recipe.device
    pack = [Replica(arm, r, r % 2 == 0) for r in range(size)]
    loop, making = timed(lambda: trainer.loop(pack), device)
    examples = loop.examples
    step = 0.0
    for steps in STEPS:
        train = min(trainer.counts[0], steps * trainer.recipe.batch_size)
        loop.examples = replace(
            examples,
            train_rows=examples.train_rows[:, :train],
            train_y=examples.train_y[:, :train],
            noisy=examples.noisy[:, :train],
        )
        seconds = epoch_seconds(loop, device)
        step = seconds / _steps(trainer, train)
        # The start of an epoch is a large share of a short epoch of a fast network.
        if seconds > MOMENT:
            break
    loop.examples = examples
    look = 0.0
    if arm is PLAIN:
        _, look = timed(lambda: Accuracies(trainer.trusted, ()).take(loop), device)
    return _Timing(size, making / size, step, look)


SPARE = 0.95
"""Share of the budget that is planned with."""
PRIOR = 0.1
"""Seconds of training that count as much as the timed steps."""
MEMORY = 0.1
"""Share of the budget after which what was trained counts for a third of what is trained now."""

Clock = Callable[[], float]


class Budget:
    """The time left, corrected by how long trainings took compared with the prediction.

    Args:
        seconds: in all.
        pace: by timed steps.
        trainer: trains the user's network.
        spent: seconds that are gone already.
        clock: tells the time in seconds.

    Attributes:
        seconds: in all.
        clock: as given.
    """

    def __init__(
        self,
        seconds: float,
        pace: Pace,
        trainer: Trainer,
        *,
        spent: float = 0.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.clock = clock
        self._end = clock() + SPARE * seconds - spent
        self._pace = pace
        self._trainer = trainer
        self._thought = self._taken = PRIOR

    @property
    def left(self) -> float:
        """Seconds that are left to plan with."""
        return self._end - self.clock()

    @property
    def gone(self) -> float:
        """Seconds that are gone."""
        return SPARE * self.seconds - self.left

    def cost(self, arms: Sequence[Arm], seeds: int) -> float:
        """Return the seconds that arms, and none, on so many seeds take, by what others took."""
        return self._taken / self._thought * self._pace.rounds(self._trainer, arms, seeds)

    def dearest(self, arms: Sequence[Arm], seeds: int) -> float:
        """Return the seconds that the slowest of some arms takes."""
        return max(self.cost([arm], seeds) for arm in arms)

    def took(self, pack: Sequence[Replica], seconds: float) -> None:
        """Take note of how long a pack took. A machine may become slower: what is long ago fades.

        Formula: both sums are multiplied by exp(-seconds / (``MEMORY`` budget)) first.
        """
        fading = math.exp(-seconds / (MEMORY * self.seconds))
        self._thought = fading * self._thought + self._pace.of(pack)
        self._taken = fading * self._taken + seconds

    def spend(self, seconds: float) -> None:
        """Take note of time that went by before this run began."""
        self._end -= seconds

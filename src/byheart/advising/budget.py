"""The time there is, and the rounds that it buys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.advising.arms import Arm, Menu
from byheart.advising.pace import Pace
from byheart.advising.trainer import Trainer
from byheart.errors import InputError

LARGEST = 8
"""The largest rounds, by number: more seeds would narrow intervals by little."""
SPARE = 0.9
"""Share of the budget that is planned with."""
TELLING = 1.0
"""Seconds of training after which its pace counts for more than that of the rehearsal."""


@dataclass(frozen=True)
class Sizes:
    """Seeds of each round.

    Attributes:
        explore: for every strength; then as many again for the better half of the strengths.
        compare: for one strength of each regularizer; fresh.
        confirm: for one regularizer; fresh again.
    """

    explore: int
    compare: int
    confirm: int

    @classmethod
    def number(cls, k: int) -> Sizes:
        """Return the k-th rounds, counted from 1, the smallest."""
        return cls(1 + k, 3 + 2 * k, 4 + 4 * k)


LEAST = Sizes.number(1)


class Budget:
    """The time that there is, and how much longer things take than was thought.

    Args:
        seconds: in all.
        pace: by a rehearsal.
        trainer: of the user's network.
        spent: seconds that are gone already.

    Attributes:
        seconds: in all.
    """

    def __init__(self, seconds: float, pace: Pace, trainer: Trainer, *, spent: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + SPARE * seconds - spent
        self._pace = pace
        self._trainer = trainer
        self._planned = self._taken = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left to plan with."""
        return self._end - time.monotonic()

    def cost(self, arms: Sequence[Arm], seeds: int) -> float:
        """Return the seconds that arms on so many seeds will take, by what others took."""
        slower = self._taken / self._planned if self._taken > TELLING else 1.0
        return slower * self._pace.rounds(self._trainer, arms, seeds)

    def took(self, arms: Sequence[Arm], seeds: int, seconds: float) -> None:
        """Take note of how long arms on so many seeds took."""
        self._planned += self._pace.rounds(self._trainer, arms, seeds)
        self._taken += seconds

    def rounds(self, menu: Menu, sizes: Sizes) -> float:
        """Return the seconds that all rounds will take."""
        half = [arm for own in menu.arms.values() for arm in own[: -(-len(own) // 2)]]
        one = menu.weakest
        return (
            self.cost(menu.every, sizes.explore)
            + self.cost(half, sizes.explore)
            + self.cost(one, sizes.compare)
            + self.dearest(one, sizes.confirm)
        )

    def dearest(self, arms: Sequence[Arm], seeds: int) -> float:
        """Return the seconds that the slowest of some arms takes."""
        return max(self.cost([arm], seeds) for arm in arms)

    def affordable(self, arms: Sequence[Arm], wanted: int, least: int, *, kept: float) -> int:
        """Return on how many seeds arms can train, so that some seconds are kept.

        Args:
            arms: to train.
            wanted: number of seeds at most.
            least: number of seeds at least, whatever they cost.
            kept: seconds for what follows.
        """
        left = self.left - kept
        fitting = [n for n in range(least, wanted + 1) if self.cost(arms, n) <= left]
        return max(fitting, default=least)


def sizes_within(budget: Budget, menu: Menu) -> Sizes:
    """Return the largest rounds that a budget allows.

    Raises:
        InputError: not even the smallest; says how many minutes those take.
    """
    fitting = [
        k for k in range(1, LARGEST + 1) if budget.rounds(menu, Sizes.number(k)) <= budget.left
    ]
    if fitting:
        return Sizes.number(max(fitting))
    gone = SPARE * budget.seconds - budget.left
    needed = (budget.rounds(menu, LEAST) + gone) / SPARE / 60
    # A little more than it takes, in tenths: what is asked for should then be enough.
    enough = -(-1.1 * needed // 0.1) * 0.1
    raise InputError(
        f"minutes is {budget.seconds / 60:g}: one round with {len(menu.arms)} regularizers takes "
        f"about {enough:.1f} minutes here; give as many, or fewer regularizers, or fewer epochs"
    )

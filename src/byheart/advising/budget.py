"""The time there is, and how long trainings take of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from byheart.advising.arms import Arm
from byheart.advising.pace import Pace
from byheart.advising.trainer import Replica, Trainer

SPARE = 0.95
"""Share of the budget that is planned with."""
TELLING = 0.1
"""Seconds of training that count as much as the rehearsal."""
MEMORY = 0.1
"""Share of the budget after which what was trained counts for a third of what is trained now."""

Clock = Callable[[], float]


class Budget:
    """The time that there is, and how much longer things take than was thought.

    Args:
        seconds: in all.
        pace: by a rehearsal.
        trainer: of the user's network.
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
        self._thought = self._taken = TELLING

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

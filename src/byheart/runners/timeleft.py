"""The time left of a study: predicted before it starts, then by how long the work so far took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from byheart.training.packs import Pack

_TOO_EARLY = 0.005
"""Share of the work below which a rate says nothing yet."""
_STEADY = 0.05
"""Share of the work from which on a rate is better than the prediction."""


@dataclass
class _Running:
    since: float
    share: float = 0.0


class TimeLeft:
    """Estimates the time left from the cost of each pack: a long pack weighs more.

    Costs are predicted seconds where there is a prediction, else floating-point operations.

    Args:
        clock: seconds from any fixed moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._costs: dict[str, float] = {}
        self._predicted: dict[str, float] = {}
        self._workers = 1
        # Kept as sums: asked for at every epoch of studies of thousands of packs.
        self._planned_cost = self._finished_cost = self._later = 0.0
        self._running: dict[str, _Running] = {}
        self._finished: set[str] = set()
        self._begun = clock()

    @property
    def planned(self) -> int:
        """Number of packs to train."""
        return len(self._costs)

    @property
    def done(self) -> int:
        """Number of packs that ended."""
        return len(self._finished)

    def predict(self, seconds: Mapping[str, float], later: float, workers: int) -> None:
        """Take predicted times as costs.

        Args:
            seconds: of each pack of the next round, by its id.
            later: of rounds that are not planned yet, at most.
            workers: packs trained at a time.
        """
        self._predicted |= seconds
        self._later = later
        self._workers = workers

    def plan(self, costs: Mapping[str, float]) -> None:
        """Begin, or go on with another round: add packs, with costs where nothing is predicted."""
        if not self._costs:
            self._begun = self._clock()
        self._costs |= {key: self._predicted.get(key, cost) for key, cost in costs.items()}
        self._planned_cost = sum(self._costs.values())

    def start(self, pack: Pack) -> None:
        """Note that a pack begins, perhaps once more."""
        self._running[pack.key] = _Running(self._clock())

    def advance(self, pack: Pack, done: int, total: int) -> None:
        """Note that a pack has trained ``done`` of ``total`` epochs."""
        self._running[pack.key].share = done / total

    def finish(self, pack: Pack) -> None:
        """Note that a pack ended."""
        key = pack.key
        self._running.pop(key, None)
        if key not in self._finished:
            self._finished.add(key)
            self._finished_cost += self._costs[key]

    def share(self) -> float:
        """Return the part of all work that is done, in 0..1."""
        total = self._planned_cost + self._later
        if total == 0:
            return 1.0
        running = sum(self._costs[key] * run.share for key, run in self._running.items())
        return (self._finished_cost + running) / total

    def of(self, pack: Pack) -> float | None:
        """Return the seconds a running pack will take yet; None if it is too early to tell."""
        return self._of(self._running[pack.key])

    def overall(self) -> float | None:
        """Return the seconds until all packs have ended; None if it is too early to tell.

        The prediction holds until 5% of the work is done; then the rate of the work so far does.
        At least as long as the slowest running pack: with many workers the last ones run alone.
        """
        share = self.share()
        if self._predicted and share < _STEADY:
            waiting = (cost for key, cost in self._costs.items() if key not in self._finished)
            rest = (1 - share) * (self._planned_cost + self._later)
            return max(max(waiting, default=0.0), rest / self._workers)
        if share < _TOO_EARLY:
            return None
        rest = (self._clock() - self._begun) * (1 - share) / share
        return max([rest, *(self._of(run) or 0.0 for run in self._running.values())])

    def _of(self, run: _Running) -> float | None:
        if run.share < _TOO_EARLY:
            return None
        return (self._clock() - run.since) * (1 - run.share) / run.share


def in_words(seconds: float) -> str:
    """Return a duration as "45 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"

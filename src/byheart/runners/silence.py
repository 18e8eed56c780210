"""Which packs hang: no epoch, and hardly any processor time, for longer than they may be silent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from byheart.runners.timeleft import in_words

HANG_AFTER = 600.0
"""Seconds without a sign of life after which a pack hangs, unless it is said otherwise."""
LOOK = 5.0
"""Seconds between two looks for packs that hang, at most; a look counts as no more than twice."""
_LIVING = 1 / 600
"""Processor time in this share of the silence is life: a second in ten minutes."""
_BEATS = 10
"""How often a pack says in the longest silence how much processor time it has used."""
_ENDLESS = 100.0
"""How often a pack's whole expected time may pass without an epoch, though it computes."""
_ENDLESS_AT_LEAST = 3600.0
"""Seconds that may pass so in any case."""


def beats_every(hang_after: float | None) -> float | None:
    """Return the seconds between two beats of a pack; None if nobody listens."""
    return None if hang_after is None else hang_after / _BEATS


@dataclass
class _Pack:
    cost: float
    begun: float
    epoch: float
    life: float
    used: float = 0.0


class Silence:
    """Listens to packs and tells which hang.

    A pack that waits for something that never comes uses no processor: that needs no knowledge of
    how long it should take, and a pack that is only slow never looks like it. One that computes
    without end is told by its cost: once packs have ended, the slowest of them says how many
    seconds an operation takes at most, and an epoch may take a hundred times as long as the whole
    pack should.

    Args:
        hang_after: seconds without a sign of life that are allowed; None allows any silence.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self, hang_after: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hang_after = math.inf if hang_after is None else hang_after
        self._start = max(0.0, HANG_AFTER - self._hang_after)
        self._clock = clock
        self._seen = clock()
        self._now = 0.0
        self._packs: dict[str, _Pack] = {}
        self._slowest: float | None = None

    @property
    def look(self) -> float:
        """Seconds between two looks."""
        return min(LOOK, self._hang_after / _BEATS)

    def tick(self) -> None:
        """Let time pass, at each look.

        What passed between two looks that were far apart, while the driver did something else or
        the machine slept, is nobody's silence.
        """
        now = self._clock()
        self._now += min(now - self._seen, 2 * self.look)
        self._seen = now

    def __contains__(self, name: str) -> bool:
        return name in self._packs

    def start(self, name: str) -> None:
        """Note that a process starts which is to train packs: that alone may take long.

        Args:
            name: tells it from others.
        """
        self._packs[name] = _Pack(0.0, self._now, self._now, self._now + self._start)

    def begin(self, name: str, cost: float) -> None:
        """Note that a pack begins.

        Args:
            name: tells it, or the process that trains it, from others.
            cost: in operations.
        """
        self._packs[name] = _Pack(cost, self._now, self._now, self._now)

    def epoch(self, name: str) -> None:
        """Note an epoch of a pack."""
        if pack := self._packs.get(name):
            pack.epoch = pack.life = self._now

    def beat(self, name: str, used: float) -> None:
        """Note how much processor time a pack has used.

        Args:
            name: of the pack.
            used: seconds since some moment; less than before where it is another process.
        """
        pack = self._packs.get(name)
        if pack and not 0 <= used - pack.used < self._hang_after * _LIVING:
            pack.used, pack.life = used, self._now

    def end(self, name: str) -> None:
        """Note that a pack has ended, and how long it took."""
        pack = self._packs.pop(name, None)
        if pack and pack.cost:
            self._slowest = max((self._now - pack.begun) / pack.cost, self._slowest or 0.0)

    def forget(self, name: str) -> None:
        """Note that a pack is no longer listened to, whatever became of it."""
        self._packs.pop(name, None)

    def reason(self, name: str) -> str | None:
        """Return why a pack counts as hanging; None if it does not, or has not begun."""
        pack = self._packs.get(name)
        if pack is None:
            return None
        if self._now - pack.life > self._hang_after:
            return f"no epoch and no processor time in {in_words(self._hang_after)}"
        if math.isinf(self._hang_after) or self._slowest is None or not pack.cost:
            return None
        endless = max(_ENDLESS_AT_LEAST, _ENDLESS * self._slowest * pack.cost)
        if self._now - pack.epoch > endless:
            return f"it computes, but reported no epoch in {in_words(endless)}"
        return None

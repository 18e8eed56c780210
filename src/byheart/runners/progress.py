"""How a study that trains says how it goes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TextIO

from byheart.record import Record
from byheart.runners.timeleft import TimeLeft, in_words
from byheart.texts import visible
from byheart.training.packs import Pack


class Progress(Protocol):
    """Is told by session and runner how it goes. No method may raise: training comes first."""

    def skipped(self, done: int) -> None:
        """So many trials are stored already and are not trained again."""
        ...

    def later(self, cost: float) -> None:
        """Rounds that depend on the next one will cost at most so much, in the unit of packs."""
        ...

    def planned(self, costs: Mapping[str, float]) -> None:
        """These packs will be trained, after those of the rounds before: costs by pack id."""
        ...

    def started(self, pack: Pack) -> None:
        """A pack begins to train, perhaps once more."""
        ...

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """A pack has trained ``done`` of at most ``total`` epochs."""
        ...

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """A pack ended, well or not."""
        ...

    def close(self) -> None:
        """Nothing more will come: finished, failed or interrupted."""
        ...


class SilentProgress:
    """Says nothing."""

    def skipped(self, done: int) -> None:
        """See :class:`Progress`."""

    def later(self, cost: float) -> None:
        """See :class:`Progress`."""

    def planned(self, costs: Mapping[str, float]) -> None:
        """See :class:`Progress`."""

    def started(self, pack: Pack) -> None:
        """See :class:`Progress`."""

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """See :class:`Progress`."""

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """See :class:`Progress`."""

    def close(self) -> None:
        """See :class:`Progress`."""


class PlainProgress:
    """Lines for logs: one at the start, at most one every few seconds, one at the end.

    Args:
        stream: where to write; stderr if None, so that stdout stays for results.
        every: seconds between lines.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._every = every
        self._left = TimeLeft(clock)
        self._clock = clock
        self._last = self._begun = clock()

    def skipped(self, done: int) -> None:
        """Say how many trials are stored already."""
        if done:
            self._write(stored_in_words(done))

    def later(self, cost: float) -> None:
        """Note what the rounds after the next will cost at most."""
        self._left.expect(cost)

    def planned(self, costs: Mapping[str, float]) -> None:
        """Say how much is to be trained."""
        more = " more, chosen by what came out" if self._left.planned else ""
        if not more:
            self._begun = self._clock()
        self._left.plan(costs)
        self._last = self._clock()
        if costs:
            self._write(f"training {_packs(len(costs))}{more}")

    def started(self, pack: Pack) -> None:
        """Note that a pack begins."""
        self._left.start(pack)

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """Note an epoch, and say so if the last line is old enough."""
        self._left.advance(pack, done, total)
        if self._clock() - self._last >= self._every:
            self._write(f"{self._done()}, {_left(self._left.overall())}")

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """Note that a pack ended; say so if it failed, was the last, or the last line is old."""
        self._left.finish(pack)
        if records and records[0].outcome == "failed":
            self._write(f"FAILED {pack.name}: {records[0].reason}")
        if self._left.done == self._left.planned:
            self._write(f"{self._done()} in {in_words(self._clock() - self._begun)}")
        elif self._clock() - self._last >= self._every:
            self._write(f"{self._done()}, {_left(self._left.overall())}")

    def close(self) -> None:
        """Nothing to tidy up."""

    def _done(self) -> str:
        return f"{self._left.done} of {_packs(self._left.planned)} done"

    def _write(self, line: str) -> None:
        self._last = self._clock()
        # A reader that went away (`| head`) must not end the study.
        with contextlib.suppress(OSError, ValueError):
            print(visible(line), file=self._stream or sys.stderr, flush=True)


def make_progress(quiet: bool = False) -> Progress:
    """Return bars where stderr is a terminal, else lines; nothing if ``quiet``."""
    if quiet:
        return SilentProgress()
    if sys.stderr.isatty():
        from byheart.runners.bars import RichProgress

        return RichProgress()
    return PlainProgress()


def stored_in_words(done: int) -> str:
    """Return the line that says how many trials need no training."""
    return "1 trial is stored already" if done == 1 else f"{done} trials are stored already"


def _packs(count: int) -> str:
    return f"{count} pack" if count == 1 else f"{count} packs"


def _left(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"about {in_words(seconds)} left"

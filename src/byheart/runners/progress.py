"""How a study that trains says how it goes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from byheart.record import Record
from byheart.runners.base import Progress
from byheart.runners.timeleft import TimeLeft, in_words
from byheart.texts import visible
from byheart.training.packs import Pack

_OTHER_LINES = 3
"""Lines of the terminal that bars of packs leave free: the overall bar, a line above and below."""


class PlainProgress(Progress):
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

    def note(self, line: str) -> None:
        """Write the line."""
        self._write(line)

    def skipped(self, done: int) -> None:
        """Say how many trials are stored already."""
        if done:
            self._write(stored_in_words(done))

    def predicted(self, seconds: Mapping[str, float], later: float, workers: int) -> None:
        """Take the predicted times into the time left."""
        self._left.predict(seconds, later, workers)

    def planned(self, costs: Mapping[str, float]) -> None:
        """Say how much is to be trained."""
        more = " more, chosen by what came out" if self._left.planned else ""
        if not more:
            self._begun = self._clock()
        self._left.plan(costs)
        self._last = self._clock()
        if costs:
            seconds = self._left.overall()
            about = "" if seconds is None else f", about {in_words(seconds)}"
            self._write(f"training {_packs(len(costs))}{more}{about}")

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

    def _done(self) -> str:
        return f"{self._left.done} of {_packs(self._left.planned)} done"

    def _write(self, line: str) -> None:
        self._last = self._clock()
        # A reader that went away (`| head`) must not end the study.
        with contextlib.suppress(OSError, ValueError):
            print(visible(line), file=self._stream or sys.stderr, flush=True)


class RichProgress(Progress):
    """Bars on stderr with the time left for each running pack and overall.

    Args:
        console: where to draw; stderr if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._left = TimeLeft(time.monotonic)
        self._tasks: dict[str, TaskID] = {}
        self._overall: TaskID | None = None
        # Names give way before numbers do, so that 40 columns suffice.
        self._bars = rich.progress.Progress(
            TextColumn("{task.description}", markup=False, table_column=_shrinking(ratio=3)),
            BarColumn(bar_width=None, table_column=Column(ratio=2, min_width=5)),
            TaskProgressColumn(table_column=Column(no_wrap=True, width=4, justify="right")),
            _TimeLeftColumn(table_column=Column(no_wrap=True, width=8, justify="right")),
            console=self._console,
            expand=True,
            transient=True,
        )

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        self._console.print(Text(visible(line)), highlight=False)

    def skipped(self, done: int) -> None:
        """Say how many trials are stored already."""
        if done:
            self._console.print(stored_in_words(done), highlight=False)

    def predicted(self, seconds: Mapping[str, float], later: float, workers: int) -> None:
        """Take the predicted times into the time left."""
        self._left.predict(seconds, later, workers)

    def planned(self, costs: Mapping[str, float]) -> None:
        """Draw the overall bar, or let the one there is count more packs."""
        self._left.plan(costs)
        if costs and self._overall is None:
            self._overall = self._bars.add_task(self._count(), total=1.0)
            self._bars.start()
        self._draw_overall()

    def started(self, pack: Pack) -> None:
        """Draw the bar of a pack, where the terminal has a line for it."""
        self._left.start(pack)
        self._drop(pack)
        if len(self._tasks) < max(1, self._console.height - _OTHER_LINES):
            self._tasks[pack.key] = self._bars.add_task(visible(pack.name), total=1.0)

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """Move the bars of a pack and of the study."""
        self._left.advance(pack, done, total)
        task = self._tasks.get(pack.key)
        if task is not None:
            self._bars.update(task, completed=done / total, left=self._left.of(pack))
        self._draw_overall()

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """Take the bar of a pack away; if it failed, say why in a line that stays."""
        self._left.finish(pack)
        self._drop(pack)
        self._draw_overall()
        if records and records[0].outcome == "failed":
            line = Text(visible(f"FAILED {pack.name}: {records[0].reason}"), style="red")
            self._console.print(line)

    def close(self) -> None:
        """Take the bars away and give the cursor back."""
        self._bars.stop()

    def _drop(self, pack: Pack) -> None:
        task = self._tasks.pop(pack.key, None)
        if task is not None:
            self._bars.remove_task(task)

    def _draw_overall(self) -> None:
        if self._overall is not None:
            self._bars.update(
                self._overall,
                description=self._count(),
                completed=self._left.share(),
                left=self._left.overall(),
            )

    def _count(self) -> str:
        return f"{self._left.done} of {self._left.planned} packs"


class _TimeLeftColumn(rich.progress.ProgressColumn):
    """The time left as h:mm:ss, or dashes while it is too early to tell."""

    def render(self, task: Task) -> Text:
        """Return the cell of a bar."""
        seconds = task.fields.get("left")
        if seconds is None:
            return Text("--:--", style="progress.remaining")
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
        return Text(text, style="progress.remaining")


def _shrinking(ratio: int) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", ratio=ratio, min_width=10)


def make_progress(quiet: bool = False) -> Progress:
    """Return bars where stderr is a terminal, else lines; nothing if ``quiet``."""
    if quiet:
        return Progress()
    if sys.stderr.isatty():
        return RichProgress()
    return PlainProgress()


def stored_in_words(done: int) -> str:
    """Return the line that says how many trials need no training."""
    return "1 trial is stored already" if done == 1 else f"{done} trials are stored already"


def _packs(count: int) -> str:
    return f"{count} pack" if count == 1 else f"{count} packs"


def _left(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"about {in_words(seconds)} left"

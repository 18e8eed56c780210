"""Progress bars for a terminal: one per running pack and one for the whole study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from byheart.record import Record
from byheart.runners.base import pack_id
from byheart.runners.progress import stored_in_words
from byheart.runners.timeleft import TimeLeft
from byheart.texts import visible
from byheart.training.packs import Pack

_OTHER_LINES = 3
"""Lines of the terminal that bars of packs leave free: the overall bar, a line above and below."""


class RichProgress:
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
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=_shrinking(ratio=3)),
            BarColumn(bar_width=None, table_column=Column(ratio=2, min_width=5)),
            TaskProgressColumn(table_column=Column(no_wrap=True, width=4, justify="right")),
            _TimeLeftColumn(table_column=Column(no_wrap=True, width=8, justify="right")),
            console=self._console,
            expand=True,
            transient=True,
        )

    def skipped(self, done: int) -> None:
        """Say how many trials are stored already."""
        if done:
            self._console.print(stored_in_words(done), highlight=False)

    def later(self, cost: float) -> None:
        """Note what the rounds after the next will cost at most."""
        self._left.expect(cost)

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
            self._tasks[pack_id(pack)] = self._bars.add_task(visible(pack.name), total=1.0)

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """Move the bars of a pack and of the study."""
        self._left.advance(pack, done, total)
        task = self._tasks.get(pack_id(pack))
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
        task = self._tasks.pop(pack_id(pack), None)
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


class _TimeLeftColumn(ProgressColumn):
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

"""How far a training is, on stderr: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from byheart.cli.console import notes, say

EVERY = 10.0
"""Seconds between lines."""


@contextlib.contextmanager
def epochs_trained() -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be told (epochs done, epochs in all)."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=notes(), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def packs_trained() -> Callable[[str, int, int], None]:
    """Return a function to be told (round, packs done, packs in all): a line now and then."""
    before, last = "", time.monotonic()

    def tell(name: str, done: int, total: int) -> None:
        nonlocal before, last
        now = time.monotonic()
        if name != before or now - last >= EVERY:
            before, last = name, now
            say(f"{name}: {done} of {total} packs")

    return tell


def _lines() -> Callable[[int, int], None]:
    begun = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY and done < total:
            last = now
            left = (now - begun) * (total - done) / done
            say(f"{done} of {total} epochs, about {left:.0f} s left")

    return tell

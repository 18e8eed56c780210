"""Hang detection: a pack hangs if it reports no epoch and uses almost no processor time."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from byheart.runners.timeleft import in_words

HANG_AFTER = 600.0
"""Default: seconds without an epoch or CPU use after which a pack counts as hung."""
PATIENCE = HANG_AFTER / 60
"""The same in minutes, as users give it."""
CHECK_EVERY = 5.0
"""Seconds between two checks, at most."""
_MIN_CPU_FRACTION = 1 / 600
"""A report of CPU time shows progress if it grew by this fraction of ``hang_after``."""
_REPORTS_PER_HANG_AFTER = 10
"""Number of reports of CPU time, and of checks, within ``hang_after``."""
_MAX_SLOWDOWN = 100.0
"""A busy pack counts as hung if one epoch takes this many times its expected total time."""
_MIN_EPOCH_LIMIT = 3600.0
"""Shortest epoch that can count as hung, in seconds."""


def cpu_report_interval(hang_after: float | None) -> float | None:
    """Return the seconds between two reports of processor time; None without hang detection."""
    return None if hang_after is None else hang_after / _REPORTS_PER_HANG_AFTER


@contextlib.contextmanager
def cpu_time_reports(report: Callable[[float], object], every: float | None) -> Iterator[None]:
    """Report the processor time of the calling thread, from a thread in the background.

    The time of the whole process would not do: the threads of Ray use a few percent of a core
    even if the training thread waits forever.

    Args:
        report: called with the seconds used; its OSError means that the driver is gone.
        every: seconds between two reports; None reports nothing.
    """
    if every is None:
        yield
        return
    stop, cpu_time = threading.Event(), _cpu_time_of_this_thread()

    def send_reports() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(every):
                report(cpu_time())

    thread = threading.Thread(target=send_reports, daemon=True, name="byheart-cpu-time")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _cpu_time_of_this_thread() -> Callable[[], float]:
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS: all threads but the reporting one
        return lambda: time.process_time() - time.thread_time()
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


@dataclass
class _Watched:
    cost: float
    begun: float
    last_epoch: float
    last_progress: float
    cpu_seconds: float = 0.0


class HangDetector:
    """Tells which packs hang.

    A pack that waits forever uses no processor time. This needs no estimate
    of how long the pack should take, and a slow pack never looks like it. A pack that computes
    without end is found by its cost: the slowest pack that has ended gives the seconds per
    operation.

    Args:
        hang_after: seconds allowed without an epoch or CPU use; None turns hang detection off.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self, hang_after: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hang_after = math.inf if hang_after is None else hang_after
        self._clock = clock
        self._last_tick = clock()
        self._now = 0.0
        self._watched: dict[str, _Watched] = {}
        self._slowest: float | None = None

    @property
    def check_every(self) -> float:
        """Seconds between two checks."""
        return min(CHECK_EVERY, self._hang_after / _REPORTS_PER_HANG_AFTER)

    def tick(self) -> None:
        """Advance the time; call it at each check.

        A long gap between two checks counts as two intervals at most: the driver was busy, or
        the machine slept.
        """
        now = self._clock()
        self._now += min(now - self._last_tick, 2 * self.check_every)
        self._last_tick = now

    def __contains__(self, name: str) -> bool:
        return name in self._watched

    def start_process(self, name: str) -> None:
        """Watch a process that starts. It has ten minutes at least: loading torch can be slow."""
        self.begin(name, 0.0)
        # A time in the future.
        self._watched[name].last_progress += max(0.0, HANG_AFTER - self._hang_after)

    def begin(self, name: str, cost: float) -> None:
        """Watch a pack from now on.

        Args:
            name: name of the pack, or of the process that trains it.
            cost: FLOPs of the pack.
        """
        self._watched[name] = _Watched(cost, self._now, self._now, self._now)

    def epoch(self, name: str) -> None:
        """Note that a pack has reported an epoch."""
        if watched := self._watched.get(name):
            watched.last_epoch = watched.last_progress = self._now

    def cpu_time(self, name: str, seconds: float) -> None:
        """Note the processor time of a pack; less than before means that the process is new."""
        watched = self._watched.get(name)
        if (
            watched
            and not 0 <= seconds - watched.cpu_seconds < self._hang_after * _MIN_CPU_FRACTION
        ):
            watched.cpu_seconds, watched.last_progress = seconds, self._now

    def end(self, name: str) -> None:
        """Note that a pack has ended, and how long it took."""
        watched = self._watched.pop(name, None)
        if watched and watched.cost:
            seconds_per_operation = (self._now - watched.begun) / watched.cost
            self._slowest = max(seconds_per_operation, self._slowest or 0.0)

    def forget(self, name: str) -> None:
        """Stop watching a pack or process."""
        self._watched.pop(name, None)

    def reason(self, name: str) -> str | None:
        """Return why a pack counts as hanging; None if it does not."""
        watched = self._watched.get(name)
        if watched is None:
            return None
        if self._now - watched.last_progress > self._hang_after:
            return f"no epoch and no processor time in {in_words(self._hang_after)}"
        if math.isinf(self._hang_after) or self._slowest is None or not watched.cost:
            return None
        epoch_limit = max(_MIN_EPOCH_LIMIT, _MAX_SLOWDOWN * self._slowest * watched.cost)
        if self._now - watched.last_epoch > epoch_limit:
            return f"it computes, but reported no epoch in {in_words(epoch_limit)}"
        return None

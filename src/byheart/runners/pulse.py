"""The pulse of a training: how much processor time it has used, now and then."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def beating(tell: Callable[[float], object], every: float | None) -> Iterator[None]:
    """Tell how many seconds of processor time the calling thread has used, from another thread.

    Args:
        tell: is told; an OSError says that nobody listens any more.
        every: seconds between two beats; None has no pulse.
    """
    if every is None:
        yield
        return
    over, used = threading.Event(), _used_by_this_thread()

    def beat() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(every):
                tell(used())

    thread = threading.Thread(target=beat, daemon=True, name="byheart-pulse")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _used_by_this_thread() -> Callable[[], float]:
    """Return a function that any thread may ask for the processor time of the calling one.

    The threads of libraries do not count: those of Ray use a few percent of a processor also while
    what they serve waits for ever. Where a system does not tell the time of one thread to another,
    that of the whole process stands for it.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: time.process_time() - time.thread_time()
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)

"""How a driver that is told to end takes its workers with it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def exit_on_sigterm(*, over: bool = False) -> Iterator[None]:
    """Leave by SystemExit, past every `finally`, where SIGTERM would end the process at once.

    Args:
        over: also where a library has put a handler of its own; it is put back at the end.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    if not main or not (over or before is signal.SIG_DFL):
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

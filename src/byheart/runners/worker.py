"""The other side of the processes runner: a process that trains the packs it is sent."""

from __future__ import annotations

import multiprocessing as mp
import multiprocessing.connection
import os
import shutil
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.runners.base import TrainFunction, attempt, describe, resolve, throttled
from byheart.runners.pulse import beating

if TYPE_CHECKING:
    from byheart.runners.handover import Handover
    from byheart.training.packs import Pack

EPOCHS_EVERY = 0.25
"""Seconds between two reports of how far a pack is: enough for an eye, cheap for the driver."""


def work(
    pipe: Connection[Any, Any],
    handover: Handover,
    train: TrainFunction | str,
    device: str,
    threads: int,
    beats_every: float | None,
) -> None:
    """Train packs until the pipe closes.

    Sends ("ready", None) or ("broken", reason) once, then per pack ("epoch", (done, total)) now and
    then and ("done", PackResult) at the end; all the while ("beat", seconds of processor time).

    Args:
        pipe: packs come in, messages go out.
        handover: where the data set lies.
        train: the training function, or "module:callable".
        device: "cpu", "cuda" or "mps".
        threads: CPU threads of torch.
        beats_every: seconds between two beats, if anyone listens for them.
    """
    # Ctrl-C reaches every process of the terminal: the driver alone decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_driver(handover.folder)
    say = _Voice(pipe).say
    with beating(lambda used: say("beat", used), beats_every):
        _serve(pipe, say, handover, train, device, threads)


class _Voice:
    """Sends messages from any thread: two at once would end up within each other."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def say(self, kind: str, value: object) -> None:
        """Send a message."""
        with self._lock:
            self._pipe.send((kind, value))


def _serve(
    pipe: Connection[Any, Any],
    say: Callable[[str, object], None],
    handover: Handover,
    train: TrainFunction | str,
    device: str,
    threads: int,
) -> None:
    try:
        import torch

        torch.set_num_threads(threads)
        dataset, function = handover.load(), resolve(train)
    except Exception as error:
        say("broken", describe(error))
        return
    say("ready", None)
    while True:
        try:
            pack: Pack = pipe.recv()
        except EOFError:
            return
        on_epoch = throttled(lambda done, total: say("epoch", (done, total)), EPOCHS_EVERY)
        say("done", attempt(function, pack, dataset, device, on_epoch))


def _die_with_driver(folder: Path) -> None:
    """End this process as soon as its driver is gone, however that ended: nobody wants its work."""
    driver = mp.parent_process()
    assert driver is not None, "a worker is started by multiprocessing"

    def watch() -> None:
        mp.connection.wait([driver.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        # sys.exit would end this thread only.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

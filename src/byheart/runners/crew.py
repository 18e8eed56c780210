"""Worker processes: started, sent packs, listened to, and ended without leaving one behind."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import multiprocessing.connection
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from byheart.runners.worker import work
from byheart.training.packs import Pack

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """A process, the pipe to it, and the pack it trains."""

    def __init__(self, process: BaseProcess, pipe: Connection[Any, Any]) -> None:
        self.process = process
        self.pipe = pipe
        self.name = str(process.pid)
        self.pack: Pack | None = None

    def send(self, pack: Pack) -> None:
        """Let the worker train a pack. One that is dead is noticed when it is listened to."""
        self.pack = pack
        with contextlib.suppress(OSError):
            self.pipe.send(pack)

    def how_it_died(self) -> str:
        """Return how a worker ended whose pipe has closed."""
        self.process.join(timeout=5.0)
        code = self.process.exitcode
        if code is None:
            return "it no longer answers"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")


class Crew:
    """All living workers.

    Args:
        arguments: what :func:`byheart.runners.worker.work` gets after its pipe.
        threads: CPU threads of each.
    """

    def __init__(self, arguments: tuple[Any, ...], threads: int) -> None:
        self._arguments = arguments
        self._threads = threads
        # Spawned, since a fork of a process that has used torch's threads may hang.
        self._context = mp.get_context("spawn")
        self._workers: list[Worker] = []

    def __len__(self) -> int:
        return len(self._workers)

    def busy(self) -> int:
        """Return how many workers have a pack."""
        return sum(worker.pack is not None for worker in self._workers)

    def hire(self) -> Worker:
        """Start a worker; it says when it is ready."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, *self._arguments), daemon=True, name="byheart-worker"
        )
        with _interrupts_held(), _environment(dict.fromkeys(_THREAD_VARIABLES, str(self._threads))):
            process.start()
            worker = Worker(process, ours)
            self._workers.append(worker)
        # Ours is now the only copy of the pipe's other end but the worker's: its death closes it.
        theirs.close()
        return worker

    def wait(self, seconds: float) -> tuple[list[Worker], list[Worker]]:
        """Return the workers that have something to say, or have died, and those that are silent.

        Args:
            seconds: to wait until there is one of the former.
        """
        said = set(mp.connection.wait([worker.pipe for worker in self._workers], seconds))
        heard = [worker for worker in self._workers if worker.pipe in said]
        return heard, [worker for worker in self._workers if worker.pipe not in said]

    def dismiss(self, worker: Worker) -> None:
        """End a worker. By SIGKILL: it holds nothing that could be left half done."""
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.pipe.close()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self.dismiss(worker)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until a new process is on our list; it starts with Ctrl-C held back."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    # Numeric libraries read these when they are loaded, which in a worker is before our code runs.
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

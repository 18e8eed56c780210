"""Train one pack per core, in worker processes. A worker may die without ending the study.

The driver is the process that started the workers.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import multiprocessing.connection
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from byheart.errors import InputError
from byheart.runners.base import (
    ENGINE,
    DatasetParts,
    PackResult,
    Progress,
    TrainFunction,
    attempt,
    costs_of,
    describe,
    failed,
    resolve,
    throttled,
)
from byheart.runners.hangs import (
    HANG_AFTER,
    HangDetector,
    cpu_report_interval,
    cpu_time_reports,
)
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

_ATTEMPTS = 2
"""A pack fails when it has lost this many workers."""
_MAX_FAILED_STARTS = 3
"""After this many failed starts in a row, no more workers are started."""
_SECONDS_BETWEEN_EPOCHS = 0.25
"""Seconds between two reports of epochs: enough for a progress bar, cheap for the driver."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessesRunner:
    """Trains in worker processes, the costliest pack first, one pack per worker at a time.

    If a worker dies (killed, out of memory) or hangs, a new one replaces it. Its pack is tried once
    more, after all others. If that worker is lost too, the trials of the pack are recorded as
    failed.

    Args:
        workers: number of processes; None for one per core.
        threads: CPU threads of each process.
        train: the training function ("module:callable", or importable by name).
        hang_after: seconds without an epoch or CPU use after which a worker is killed; None never
            kills one.
    """

    name = "processes"

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        train: TrainFunction | str = ENGINE,
        hang_after: float | None = HANG_AFTER,
    ) -> None:
        self.workers = workers or cores()
        self.threads = threads
        self._train = train
        self.hang_after = hang_after

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset, device: str) -> int:
        """Return the number of worker processes."""
        return self.workers

    def doing(self, train: TrainFunction | str) -> ProcessesRunner:
        """Return a copy of this runner that calls another function on each pack."""
        return ProcessesRunner(self.workers, self.threads, train, self.hang_after)

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends; see :class:`Runner`.

        Raises:
            InputError: workers cannot be started.
        """
        costs = costs_of(packs, dataset)
        progress.planned(costs)
        costliest_first = sorted(packs, key=lambda pack: -costs[pack.key])
        with exit_on_sigterm(), _dataset_on_disk(dataset) as data:
            work = partial(
                _work,
                data=data,
                train=self._train,
                device=device,
                threads=self.threads,
                report_every=cpu_report_interval(self.hang_after),
            )
            pool = _Pool(costliest_first, costs, work, self, device, progress)
            with contextlib.closing(pool):
                yield from pool.results()


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection[Any, Any]
    pack: Pack | None = None

    @property
    def name(self) -> str:
        return str(self.process.pid)

    def cause_of_death(self) -> str:
        """Return how a worker ended whose pipe has closed."""
        self.process.join(timeout=5.0)
        code = self.process.exitcode
        if code is None:
            return "it no longer answers"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")


class _Pool:
    """The workers of one run, and the queue of packs."""

    def __init__(
        self,
        packs: Sequence[Pack],
        costs: Mapping[str, float],
        work: Callable[..., None],
        runner: ProcessesRunner,
        device: str,
        progress: Progress,
    ) -> None:
        self._queue = deque(packs)
        self._costs = costs
        self._work = work
        self._runner = runner
        self._device = device
        self._progress = progress
        self._hangs = HangDetector(runner.hang_after)
        # Spawned: a fork of a process that has used torch's threads may hang.
        self._context = mp.get_context("spawn")
        self._workers: list[_Worker] = []
        self._lost_workers: Counter[str] = Counter()
        self._failed_starts = 0

    def results(self) -> Iterator[PackResult]:
        """Train all packs and yield each as it ends."""
        while self._queue or self._busy_count():
            self._start_workers()
            pipes = [worker.pipe for worker in self._workers]
            ready = mp.connection.wait(pipes, self._hangs.check_every)
            self._hangs.tick()
            for worker in list(self._workers):
                if worker.pipe in ready:
                    yield from self._receive(worker)
                elif (reason := self._hangs.reason(worker.name)) is not None:
                    yield from self._replace_lost_worker(worker, f"it hung, {reason}")

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self._end(worker)

    def _busy_count(self) -> int:
        return sum(worker.pack is not None for worker in self._workers)

    def _start_workers(self) -> None:
        if self._failed_starts >= _MAX_FAILED_STARTS and self._workers:
            # Memory may be too small for more workers: continue with these.
            return
        wanted = min(self._runner.workers, len(self._queue) + self._busy_count())
        for _ in range(wanted - len(self._workers)):
            self._start_worker()

    def _start_worker(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._work, args=(theirs,), daemon=True, name="byheart-worker"
        )
        with _process_start_environment(self._runner.threads):
            process.start()
            worker = _Worker(process, ours)
            self._workers.append(worker)
        # Now only the worker holds the other end of the pipe: its death closes the pipe.
        theirs.close()
        self._hangs.start_process(worker.name)

    def _receive(self, worker: _Worker) -> Iterator[PackResult]:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace_lost_worker(worker, worker.cause_of_death())
            return
        match kind:
            case "broken":
                yield from self._replace_lost_worker(worker, value)
            case "cpu time":
                self._hangs.cpu_time(worker.name, value)
            case "epoch" if worker.pack is not None:
                self._hangs.epoch(worker.name)
                self._progress.epoch(worker.pack, *value)
            case "ready":
                self._failed_starts = 0
                self._send_pack(worker)
            case "done":
                self._hangs.end(worker.name)
                self._send_pack(worker)
                self._progress.finished(value.pack, value.records)
                yield value

    def _send_pack(self, worker: _Worker) -> None:
        """Send the next pack to a worker that has none; end the worker if no pack is left."""
        if not self._queue:
            self._end(worker)
            return
        worker.pack = self._queue.popleft()
        # A dead worker is noticed when its pipe is read.
        with contextlib.suppress(OSError):
            worker.pipe.send(worker.pack)
        self._hangs.begin(worker.name, self._costs[worker.pack.key])
        self._progress.started(worker.pack)

    def _replace_lost_worker(self, worker: _Worker, cause: str) -> Iterator[PackResult]:
        """End a worker that died or hangs; queue its pack once more, or report it as failed."""
        self._end(worker)
        pack = worker.pack
        if pack is None:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS and not self._workers:
                raise InputError(
                    f"no worker process could start ({cause}): use --runner inline, or, in a "
                    "script of your own, call byheart below `if __name__ == '__main__':`"
                )
            return
        self._lost_workers[pack.key] += 1
        if self._lost_workers[pack.key] < _ATTEMPTS:
            # Last in the queue, where fewer others compete with it for memory.
            self._queue.append(pack)
            return
        result = failed(pack, f"its worker was lost {_ATTEMPTS} times: {cause}", self._device)
        self._progress.finished(pack, result.records)
        yield result

    def _end(self, worker: _Worker) -> None:
        """End a worker by SIGKILL; it writes nothing, so nothing is left half written."""
        self._hangs.forget(worker.name)
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.pipe.close()


def _work(
    pipe: Connection[Any, Any],
    *,
    data: tuple[Path, DatasetParts],
    train: TrainFunction | str,
    device: str,
    threads: int,
    report_every: float | None,
) -> None:
    """Train packs until the pipe closes; runs in the worker process.

    Sends ("ready", None) or ("broken", reason) once. Sends ("done", PackResult) for each pack,
    ("epoch", (done, total)) at most every 0.25 s, and ("cpu time", seconds) regularly.
    """
    # Ctrl-C reaches every process of the terminal: only the driver handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_driver(data[0])
    lock = threading.Lock()

    def send(kind: str, value: object) -> None:
        with lock:  # two threads send
            pipe.send((kind, value))

    with cpu_time_reports(partial(send, "cpu time"), report_every):
        try:
            import torch

            torch.set_num_threads(threads)
            dataset, function = _load_dataset(*data), resolve(train)
        except Exception as error:
            send("broken", describe(error))
            return
        send("ready", None)
        while True:
            try:
                pack: Pack = pipe.recv()
            except EOFError:
                return
            on_epoch = throttled(
                lambda done, total: send("epoch", (done, total)), _SECONDS_BETWEEN_EPOCHS
            )
            send("done", attempt(function, pack, dataset, device, on_epoch))


def _exit_with_driver(folder: Path) -> None:
    """End this process as soon as its driver is gone, however the driver ended."""
    driver = mp.parent_process()
    assert driver is not None, "a worker is started by multiprocessing"

    def watch() -> None:
        mp.connection.wait([driver.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        # sys.exit would end this thread only.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dataset_on_disk(dataset: Dataset) -> Iterator[tuple[Path, DatasetParts]]:
    """Write the arrays of a data set to a temporary folder; yield the folder and the other fields.

    Raises:
        InputError: the data set cannot be written there.
    """
    parts = DatasetParts.of(dataset)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="byheart-", ignore_cleanup_errors=True)
            )
            for name, array in parts.arrays.items():
                np.save(Path(folder, f"{name}.npy"), array, allow_pickle=False)
        except OSError as error:
            raise InputError(
                f"cannot write to the temporary folder ({error.strerror}): set TMPDIR to a folder "
                "with room, or use --runner inline"
            ) from error
        yield Path(folder), parts._replace(arrays={})


def _load_dataset(folder: Path, parts: DatasetParts) -> Dataset:
    """Return the data set; all workers share the memory of its arrays until they write to it."""
    arrays = {
        path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in folder.glob("*.npy")
    }
    return parts._replace(arrays=arrays).joined()


@contextlib.contextmanager
def exit_on_sigterm(*, replace_handler: bool = False) -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that every ``finally`` runs before the process ends.

    Args:
        replace_handler: replace a handler of a library too; it is restored at the end.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    if not in_main_thread or not (replace_handler or before is signal.SIG_DFL):
        yield
        return

    code: int | None = None

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = 128 + number
        raise SystemExit(code)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException:
        # A signal inside a wait of Ray's core ends it with another exception or exit code.
        if code is not None:
            raise SystemExit(code) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _process_start_environment(threads: int) -> Iterator[None]:
    """Limit the threads of a new process, and block Ctrl-C until the process is registered."""
    before = dict(os.environ)
    # Numeric libraries read these variables when the new process loads them.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    has_masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else set()
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            os.environ.pop(name)
        os.environ.update(before)
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

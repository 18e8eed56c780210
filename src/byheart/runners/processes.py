"""One pack per core: worker processes that may die without taking the study with them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from byheart.errors import InputError
from byheart.runners.base import ENGINE, PackResult, TrainFunction, failed, pack_id
from byheart.runners.costs import costs_of
from byheart.runners.crew import Crew, Worker
from byheart.runners.handover import handed_over
from byheart.runners.signals import exit_on_sigterm
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.runners.progress import Progress

_DEATHS = 2
"""Workers that may die of a pack before it counts as failed."""
_STILLBORN = 3
"""Workers in a row that may die before they are ready to train."""


class ProcessesRunner:
    """Trains in worker processes, the longest pack first, one pack per worker at a time.

    A worker that dies (killed, out of memory) is replaced, and its pack is tried once more after
    all others; if that worker dies too, the trials of the pack are recorded as failed.

    Args:
        workers: processes; None for one per core.
        threads: CPU threads of each.
        train: the training function ("module:callable", or importable by name).
    """

    name = "processes"

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        train: TrainFunction | str = ENGINE,
    ) -> None:
        self.workers = workers or cores()
        self.threads = threads
        self._train = train

    def doing(self, train: TrainFunction | str) -> ProcessesRunner:
        """Return a runner like this one that does something else with each pack."""
        return ProcessesRunner(self.workers, self.threads, train)

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends; see :class:`Runner`.

        Raises:
            InputError: workers cannot be started.
        """
        costs = costs_of(packs, dataset)
        progress.planned(costs)
        queue = deque(sorted(packs, key=lambda pack: -costs[pack_id(pack)]))
        with exit_on_sigterm(), handed_over(dataset) as handover:
            crew = Crew((handover, self._train, device, self.threads), self.threads)
            with contextlib.closing(crew):
                yield from _Shift(crew, queue, self.workers, device, progress).results()


class _Shift:
    """The packs of one run, and what became of the workers that trained them."""

    def __init__(
        self, crew: Crew, queue: deque[Pack], workers: int, device: str, progress: Progress
    ) -> None:
        self._crew = crew
        self._queue = queue
        self._workers = workers
        self._device = device
        self._progress = progress
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0

    def results(self) -> Iterator[PackResult]:
        """Hand out all packs and yield them as they end."""
        while self._queue or self._crew.busy():
            self._hire()
            for worker in self._crew.wait():
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError):
                    yield from self._bury(worker)
                    continue
                if kind == "broken":
                    yield from self._bury(worker, value)
                elif kind == "epoch" and worker.pack is not None:
                    self._progress.epoch(worker.pack, *value)
                elif kind == "ready":
                    self._stillborn = 0
                    self._assign(worker)
                elif kind == "done":
                    self._assign(worker)
                    self._progress.finished(value.pack, value.records)
                    yield value

    def _hire(self) -> None:
        wanted = min(self._workers, len(self._queue) + self._crew.busy())
        if self._stillborn >= _STILLBORN and len(self._crew):
            # Those that live may have all the memory there is: go on with them alone.
            return
        for _ in range(wanted - len(self._crew)):
            self._crew.hire()

    def _assign(self, worker: Worker) -> None:
        if self._queue:
            worker.send(self._queue.popleft())
            if worker.pack is not None:
                self._progress.started(worker.pack)
        else:
            self._crew.dismiss(worker)

    def _bury(self, worker: Worker, reason: str = "") -> Iterator[PackResult]:
        cause = reason or worker.how_it_died()
        self._crew.dismiss(worker)
        if worker.pack is None:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN and not len(self._crew):
                raise InputError(
                    f"no worker process could start ({cause}): use --runner inline, or, in a "
                    "script of your own, call byheart below `if __name__ == '__main__':`"
                )
            return
        pack = worker.pack
        self._deaths[pack_id(pack)] += 1
        if self._deaths[pack_id(pack)] < _DEATHS:
            # Last in the queue, where fewer others compete with it for memory.
            self._queue.append(pack)
            return
        result = failed(pack, f"its worker died {_DEATHS} times: {cause}", self._device)
        self._progress.finished(pack, result.records)
        yield result


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

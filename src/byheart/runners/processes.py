"""One pack per core: worker processes that may die without taking the study with them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from byheart.errors import InputError
from byheart.runners.base import ENGINE, PackResult, TrainFunction, failed, pack_id
from byheart.runners.costs import costs_of
from byheart.runners.crew import Crew, Worker
from byheart.runners.handover import handed_over
from byheart.runners.signals import exit_on_sigterm
from byheart.runners.silence import HANG_AFTER, Silence, beats_every
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.runners.base import Progress

_DEATHS = 2
"""Workers that may die of a pack, or hang with it, before it counts as failed."""
_STILLBORN = 3
"""Workers in a row that may die before they are ready to train."""


class ProcessesRunner:
    """Trains in worker processes, the longest pack first, one pack per worker at a time.

    A worker that dies (killed, out of memory) or hangs is replaced, and its pack is tried once more
    after all others; if that worker is lost too, the trials of the pack are recorded as failed.

    Args:
        workers: processes; None for one per core.
        threads: CPU threads of each.
        train: the training function ("module:callable", or importable by name).
        hang_after: seconds without a sign of life after which a worker is ended; None never ends
            one.
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
        self._hang_after = hang_after

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset, device: str) -> int:
        """Return the number of worker processes."""
        return self.workers

    def doing(self, train: TrainFunction | str) -> ProcessesRunner:
        """Return a runner like this one that does something else with each pack."""
        return ProcessesRunner(self.workers, self.threads, train, self._hang_after)

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
            beats = beats_every(self._hang_after)
            crew = Crew((handover, self._train, device, self.threads, beats), self.threads)
            shift = _Shift(
                crew, queue, costs, Silence(self._hang_after), self.workers, device, progress
            )
            with contextlib.closing(crew):
                yield from shift.results()


class _Shift:
    """The packs of one run, and what became of the workers that trained them."""

    def __init__(
        self,
        crew: Crew,
        queue: deque[Pack],
        costs: Mapping[str, float],
        silence: Silence,
        workers: int,
        device: str,
        progress: Progress,
    ) -> None:
        self._crew = crew
        self._queue = queue
        self._costs = costs
        self._silence = silence
        self._workers = workers
        self._device = device
        self._progress = progress
        self._deaths: Counter[str] = Counter()
        self._stillborn = 0

    def results(self) -> Iterator[PackResult]:
        """Hand out all packs and yield them as they end."""
        while self._queue or self._crew.busy():
            self._hire()
            heard, silent = self._crew.wait(self._silence.look)
            self._silence.tick()
            for worker in heard:
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError):
                    yield from self._bury(worker, worker.how_it_died())
                    continue
                yield from self._hear(worker, kind, value)
            for worker in silent:
                reason = self._silence.reason(worker.name)
                if reason is not None:
                    yield from self._bury(worker, f"it hung, {reason}")

    def _hear(self, worker: Worker, kind: str, value: Any) -> Iterator[PackResult]:
        match kind:
            case "broken":
                yield from self._bury(worker, value)
            case "beat":
                self._silence.beat(worker.name, value)
            case "epoch" if worker.pack is not None:
                self._silence.epoch(worker.name)
                self._progress.epoch(worker.pack, *value)
            case "ready":
                self._stillborn = 0
                self._assign(worker)
            case "done":
                self._silence.end(worker.name)
                self._assign(worker)
                self._progress.finished(value.pack, value.records)
                yield value

    def _hire(self) -> None:
        wanted = min(self._workers, len(self._queue) + self._crew.busy())
        if self._stillborn >= _STILLBORN and len(self._crew):
            # Those that live may have all the memory there is: go on with them alone.
            return
        for _ in range(wanted - len(self._crew)):
            self._silence.start(self._crew.hire().name)

    def _assign(self, worker: Worker) -> None:
        if self._queue:
            pack = self._queue.popleft()
            worker.send(pack)
            self._silence.begin(worker.name, self._costs[pack_id(pack)])
            self._progress.started(pack)
        else:
            self._silence.forget(worker.name)
            self._crew.dismiss(worker)

    def _bury(self, worker: Worker, cause: str) -> Iterator[PackResult]:
        self._silence.forget(worker.name)
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
        result = failed(pack, f"its worker was lost {_DEATHS} times: {cause}", self._device)
        self._progress.finished(pack, result.records)
        yield result


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

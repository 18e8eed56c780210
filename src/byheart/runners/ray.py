"""Packs on a cluster: each is a Ray task, and the driver alone hands out and collects."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from byheart.errors import InputError
from byheart.record import Record
from byheart.runners import ray_cluster
from byheart.runners.base import ENGINE, PackResult, TrainFunction, describe, failed, pack_id
from byheart.runners.costs import costs_of
from byheart.runners.needs import PROCESS, Needs, needs_of, side_by_side
from byheart.runners.processes import cores
from byheart.runners.ray_task import Board, parcel, train_pack, versions
from byheart.runners.retries import Fault, Part, again, fitted, ran_out_of_memory, reason_of
from byheart.runners.signals import exit_on_sigterm
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.runners.progress import Progress

_AHEAD = 2
"""Tasks in flight for each that can run: the next is there when one ends, and a cluster that grows
sees that more is waiting, but the scheduler never holds a whole study."""
_PATIENCE = 0.5
"""Seconds between two looks at how far the packs are."""
_COUNT_EVERY = 5.0
"""Seconds between two counts of the nodes."""
_FAREWELL = 10.0
"""Seconds to wait for tasks that were cancelled."""


class RayRunner:
    """Trains on a Ray cluster, the longest pack first; nodes may come and go.

    Args:
        address: of the cluster, see :func:`byheart.runners.ray_cluster.connect`.
        workers: packs in flight at most; None for as many as the cluster holds, and as many again.
        threads: CPU threads of each pack.
        train: the training function ("module:callable", or one that the nodes can import).
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        train: TrainFunction | str = ENGINE,
    ) -> None:
        self.address = address
        self.threads = threads
        self._workers = workers
        self._train = train

    @property
    def workers(self) -> int:
        """How many packs the cluster trains at a time, by its cores; connects to it."""
        ray = ray_cluster.connect(self.address, self._workers or cores())
        held = side_by_side(ray_cluster.nodes(ray), Needs(self.threads, 0.0, PROCESS))
        return max(1, min(held, self._workers or held))

    def doing(self, train: TrainFunction | str) -> RayRunner:
        """Return a runner like this one that does something else with each pack."""
        return RayRunner(self.address, self._workers, self.threads, train)

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends, one that was split in two pieces; see :class:`Runner`.

        Raises:
            InputError: there is no Ray, no cluster, or a node that cannot train what this machine
                asks for.
        """
        costs = costs_of(packs, dataset)
        progress.planned(costs)
        if not packs:
            return
        ray = ray_cluster.connect(self.address, self._workers or cores())
        gpu = None if device == "cpu" else ray_cluster.gpu_bytes(ray)
        parts = [
            Part(pack, pack, needs_of(pack, dataset, threads=self.threads, gpu_bytes=gpu))
            for pack in sorted(packs, key=lambda pack: -costs[pack_id(pack)])
        ]
        with exit_on_sigterm(over=True):
            work = _Tasks(ray, dataset, (self._train, device, self.threads))
            with contextlib.closing(work):
                yield from _Campaign(work, parts, self._workers, device, progress).results()


class _Tasks:
    """The tasks in flight, and what they share: the data set and the board.

    Args:
        ray: the module, connected.
        dataset: goes into the object store.
        how: training function, device and threads.
    """

    def __init__(self, ray: Any, dataset: Dataset, how: tuple[TrainFunction | str, str, int]):
        self.ray = ray
        self._how = how
        self._flying: dict[Any, Part] = {}
        self._versions = versions()
        self._data = ray.put(parcel(dataset))
        # Each fault is answered here, not by Ray: what was lost is told from what did not fit. A
        # process keeps torch loaded for the next pack, also on a GPU.
        self._task = ray.remote(max_retries=0, max_calls=0)(train_pack)
        # On the driver's node, and no more lasting than it.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        board = ray.remote(num_cpus=0, max_restarts=-1)(Board)
        self._board = board.options(scheduling_strategy=here).remote()
        self._asked = self._board.take.remote()

    def __len__(self) -> int:
        return len(self._flying)

    def start(self, part: Part) -> None:
        """Hand a part to the cluster."""
        need = part.need
        task = self._task.options(
            num_cpus=need.cpus, num_gpus=need.gpus, memory=int(need.memory), name=part.pack.name
        )
        ref = task.remote(part.pack, self._data, *self._how, self._versions, self._board)
        self._flying[ref] = part

    def ended(self) -> list[tuple[Part, Any]]:
        """Wait a little; return what ended, each with the reference to its result."""
        refs, _ = self.ray.wait(list(self._flying), num_returns=1, timeout=_PATIENCE)
        return [(self._flying.pop(ref), ref) for ref in refs]

    def told(self) -> list[tuple[Part, int, int]]:
        """Return what tasks said of their epochs since the last time; never waits."""
        ready, _ = self.ray.wait([self._asked], timeout=0)
        if not ready:
            return []
        told: dict[str, tuple[int, int]] = {}
        # A board whose node was lost starts anew: only how far the packs are is lost with it.
        with contextlib.suppress(self.ray.exceptions.RayError):
            told = self.ray.get(self._asked)
        self._asked = self._board.take.remote()
        parts = {pack_id(part.pack): part for part in self._flying.values()}
        return [(parts[key], *epochs) for key, epochs in told.items() if key in parts]

    def close(self) -> None:
        """End all tasks, by force: they hold nothing that could be left half done."""
        for ref in self._flying:
            self.ray.cancel(ref, force=True)
        if self._flying:
            self.ray.wait(list(self._flying), num_returns=len(self._flying), timeout=_FAREWELL)
        self.ray.kill(self._board)


class _Campaign:
    """The packs of one run, and what becomes of them."""

    def __init__(
        self,
        tasks: _Tasks,
        parts: Sequence[Part],
        workers: int | None,
        device: str,
        progress: Progress,
    ) -> None:
        self._tasks = tasks
        self._queue = deque(parts)
        self._workers = workers
        self._device = device
        self._progress = progress
        self._pieces = {pack_id(part.whole): 1 for part in parts}
        self._records: dict[str, list[Record]] = {}
        self._begun: set[str] = set()
        self._counted = -_COUNT_EVERY
        self._nodes: list[Needs] = []

    def results(self) -> Iterator[PackResult]:
        """Hand out all packs, never too many at once, and yield them as they end."""
        while self._queue or len(self._tasks):
            self._fill()
            ended = self._tasks.ended()
            self._listen()
            for part, ref in ended:
                yield from self._collect(part, ref)

    def _fill(self) -> None:
        if time.monotonic() - self._counted >= _COUNT_EVERY:
            self._counted = time.monotonic()
            self._nodes = ray_cluster.nodes(self._tasks.ray)
        while self._queue and len(self._tasks) < self._most():
            first, *rest = fitted(self._queue.popleft(), self._nodes)
            self._count(first.whole, len(rest))
            self._queue.extendleft(rest)
            self._tasks.start(first)

    def _most(self) -> int:
        if self._workers is not None:
            return self._workers
        held = side_by_side(self._nodes, self._queue[0].need.within(self._nodes))
        return _AHEAD * max(1, held)

    def _collect(self, part: Part, ref: Any) -> Iterator[PackResult]:
        errors = self._tasks.ray.exceptions
        try:
            result: PackResult = self._tasks.ray.get(ref)
        except errors.OutOfMemoryError:
            yield from self._retry(part, "memory")
        except errors.WorkerCrashedError:
            yield from self._retry(part, "process")
        except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
            yield from self._retry(part, "node")
        except errors.RayTaskError as error:
            raise _as_input_error(error) from error
        else:
            if result.error and ran_out_of_memory(result.error) and not part.split:
                yield from self._retry(part, "memory")
            else:
                yield from self._finish(part, result)

    def _retry(self, part: Part, fault: Fault) -> Iterator[PackResult]:
        pieces = again(part, fault)
        self._begun.discard(pack_id(part.whole))
        if not pieces:
            yield from self._finish(part, failed(part.pack, reason_of(part, fault), self._device))
            return
        self._count(part.whole, len(pieces) - 1)
        # Last in the queue, where fewer others compete with it for memory.
        self._queue.extend(pieces)

    def _finish(self, part: Part, result: PackResult) -> Iterator[PackResult]:
        whole = pack_id(part.whole)
        self._pieces[whole] -= 1
        records = self._records.setdefault(whole, [])
        records += result.records
        if self._pieces[whole] == 0:
            # Failed ones first: that is what progress looks at.
            ended = sorted(self._records.pop(whole), key=lambda one: one.outcome != "failed")
            self._progress.finished(part.whole, ended)
        yield result

    def _count(self, whole: Pack, more: int) -> None:
        self._pieces[pack_id(whole)] += more

    def _listen(self) -> None:
        for part, done, total in self._tasks.told():
            key = pack_id(part.whole)
            if key not in self._begun:
                self._begun.add(key)
                self._progress.started(part.whole)
            if done:
                self._progress.epoch(part.whole, done, total)


def _as_input_error(error: Any) -> InputError:
    """Return what to say where a task failed before it could train."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, InputError):
        return InputError(str(cause))
    return InputError(
        f"a node of the cluster cannot train ({describe(cause)[:300]}): install byheart[ray], and "
        "the module of your own network, on every node"
    )

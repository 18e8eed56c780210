"""Packs on a cluster: each is a Ray task, and the driver alone hands out and collects."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from byheart.errors import InputError
from byheart.record import Record
from byheart.runners import ray_cluster
from byheart.runners.base import ENGINE, PackResult, TrainFunction, describe, failed, pack_id
from byheart.runners.costs import costs_of
from byheart.runners.needs import Needs, needs_of, side_by_side
from byheart.runners.processes import cores
from byheart.runners.ray_flight import Tasks
from byheart.runners.retries import Fault, Part, again, fitted, ran_out_of_memory, reason_of
from byheart.runners.signals import exit_on_sigterm
from byheart.runners.silence import HANG_AFTER, Silence, beats_every
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.runners.base import Progress

_AHEAD = 2
"""Tasks in flight for each that can run: the next is there when one ends, and a cluster that grows
sees that more is waiting, but the scheduler never holds a whole study."""
_COUNT_EVERY = 5.0
"""Seconds between two counts of the nodes."""


class RayRunner:
    """Trains on a Ray cluster, the longest pack first; nodes may come and go.

    Args:
        address: of the cluster, see :func:`byheart.runners.ray_cluster.connect`.
        workers: packs in flight at most; None for as many as the cluster holds, and as many again.
        threads: CPU threads of each pack.
        train: the training function ("module:callable", or one that the nodes can import).
        hang_after: seconds without a sign of life after which a task is ended; None never ends one.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        train: TrainFunction | str = ENGINE,
        hang_after: float | None = HANG_AFTER,
    ) -> None:
        self.address = address
        self.threads = threads
        self._workers = workers
        self._train = train
        self._hang_after = hang_after

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset, device: str) -> int:
        """Return how many packs the cluster holds at a time; connects to it.

        Args:
            packs: the one that needs most room is counted.
            dataset: the clean source.
            device: "cpu" or "cuda".

        Raises:
            InputError: there is no Ray, no cluster, or no GPU in it.
        """
        if not packs:
            return 1
        ray = ray_cluster.connect(self.address, self._workers or cores())
        needs = self._needs(ray, packs, dataset, device)
        most = max(needs, key=lambda need: (need.gpus, need.memory))
        nodes = ray_cluster.nodes(ray)
        held = side_by_side(nodes, most.within(nodes))
        return max(1, min(held, self._workers or held))

    def _needs(self, ray: Any, packs: Sequence[Pack], dataset: Dataset, device: str) -> list[Needs]:
        gpu = None if device == "cpu" else ray_cluster.gpu_bytes(ray)
        return [needs_of(pack, dataset, threads=self.threads, gpu_bytes=gpu) for pack in packs]

    def doing(self, train: TrainFunction | str) -> RayRunner:
        """Return a runner like this one that does something else with each pack."""
        return RayRunner(self.address, self._workers, self.threads, train, self._hang_after)

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
        longest_first = sorted(packs, key=lambda pack: -costs[pack_id(pack)])
        needs = self._needs(ray, longest_first, dataset, device)
        parts = [Part(pack, pack, need) for pack, need in zip(longest_first, needs, strict=True)]
        how = (self._train, device, self.threads, beats_every(self._hang_after))
        with exit_on_sigterm(over=True), contextlib.closing(Tasks(ray, dataset, how)) as tasks:
            silence = Silence(self._hang_after)
            campaign = _Campaign(tasks, parts, costs, silence, self._workers, device, progress)
            yield from campaign.results()


class _Campaign:
    """The packs of one run, and what becomes of them."""

    def __init__(
        self,
        tasks: Tasks,
        parts: Sequence[Part],
        costs: Mapping[str, float],
        silence: Silence,
        workers: int | None,
        device: str,
        progress: Progress,
    ) -> None:
        self._tasks = tasks
        self._queue = deque(parts)
        self._costs = costs
        self._silence = silence
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
            for flight, ref in ended:
                self._silence.end(flight.name)
                yield from self._collect(flight.part, ref)
            yield from self._end_hung()

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

    def _retry(self, part: Part, fault: Fault, cause: str = "") -> Iterator[PackResult]:
        pieces = again(part, fault)
        self._begun.discard(pack_id(part.whole))
        if not pieces:
            reason = reason_of(part, fault, cause)
            yield from self._finish(part, failed(part.pack, reason, self._device))
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
        news, flying = self._tasks.news(), self._tasks.flying()
        if news is None:
            # Time passes only while the board answers: its silence is not that of the packs.
            return
        self._silence.tick()
        for name, (done, total) in news.epochs.items():
            if name in flying:
                self._hear(name, flying[name], done, total)
        for name, used in news.beats.items():
            self._silence.beat(name, used)

    def _hear(self, name: str, part: Part, done: int, total: int) -> None:
        whole = pack_id(part.whole)
        if whole not in self._begun:
            self._begun.add(whole)
            self._progress.started(part.whole)
        if name not in self._silence:
            share = len(part.pack.trials) / len(part.whole.trials)
            self._silence.begin(name, share * self._costs[whole])
        if done:
            self._silence.epoch(name)
            self._progress.epoch(part.whole, done, total)

    def _end_hung(self) -> Iterator[PackResult]:
        for name, part in self._tasks.flying().items():
            reason = self._silence.reason(name)
            if reason is not None:
                self._silence.forget(name)
                self._tasks.cancel(name)
                yield from self._retry(part, "hang", reason)


def _as_input_error(error: Any) -> InputError:
    """Return what to say where a task failed before it could train."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, InputError):
        return InputError(str(cause))
    return InputError(
        f"a node of the cluster cannot train ({describe(cause)[:300]}): install byheart[ray], and "
        "the module of your own network, on every node"
    )

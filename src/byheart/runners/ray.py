"""Packs on a cluster: each is a Ray task. Only the driver hands out packs and collects results."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from byheart.errors import InputError
from byheart.record import Record
from byheart.runners import ray_cluster
from byheart.runners.base import (
    ENGINE,
    PackResult,
    Progress,
    TrainFunction,
    costs_of,
    describe,
    failed,
)
from byheart.runners.hangs import HANG_AFTER, HangDetector, cpu_report_interval
from byheart.runners.processes import cores, exit_on_sigterm
from byheart.runners.ray_cluster import Resources, resources_of, tasks_at_once
from byheart.runners.ray_tasks import Fault, PackTask, RunningTasks, ran_out_of_memory
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

_SUBMITTED_PER_SLOT = 2
"""Tasks submitted for each that can run: the next is there when one ends, and a cluster that grows
sees that more is waiting, but the scheduler never holds a whole study."""
_COUNT_NODES_EVERY = 5.0
"""Seconds between two counts of the nodes."""


class RayRunner:
    """Trains on a Ray cluster, the costliest pack first; nodes may come and go.

    Args:
        address: of the cluster, see :func:`byheart.runners.ray_cluster.connect`.
        workers: tasks submitted at most; None for twice as many as the cluster can run.
        threads: CPU threads of each pack.
        train: the training function ("module:callable", or one that the nodes can import).
        hang_after: seconds without an epoch or CPU use after which a task is ended; None: never.
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
        """Return how many packs the cluster can train at a time; connects to it.

        Args:
            packs: the one with the largest needs is counted.
            dataset: the clean source.
            device: "cpu" or "cuda".

        Raises:
            InputError: there is no Ray, no cluster, or no GPU in it.
        """
        if not packs:
            return 1
        ray = ray_cluster.connect(self.address, self._workers or cores())
        needs = self._resources(ray, packs, dataset, device)
        largest = max(needs, key=lambda need: (need.gpus, need.memory))
        nodes = ray_cluster.nodes(ray)
        slots = tasks_at_once(nodes, largest.capped(nodes))
        return max(1, min(slots, self._workers or slots))

    def _resources(
        self, ray: Any, packs: Sequence[Pack], dataset: Dataset, device: str
    ) -> list[Resources]:
        gpu = None if device == "cpu" else ray_cluster.gpu_bytes(ray)
        return [resources_of(pack, dataset, threads=self.threads, gpu_bytes=gpu) for pack in packs]

    def doing(self, train: TrainFunction | str) -> RayRunner:
        """Return a runner like this one that does something else with each pack."""
        return RayRunner(self.address, self._workers, self.threads, train, self._hang_after)

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends, a pack that was split in two pieces; see :class:`Runner`.

        Raises:
            InputError: there is no Ray, no cluster, or a node that cannot train what this machine
                asks for.
        """
        costs = costs_of(packs, dataset)
        progress.planned(costs)
        if not packs:
            return
        ray = ray_cluster.connect(self.address, self._workers or cores())
        costliest_first = sorted(packs, key=lambda pack: -costs[pack.key])
        needs = self._resources(ray, costliest_first, dataset, device)
        queue = [
            PackTask(pack, pack, need) for pack, need in zip(costliest_first, needs, strict=True)
        ]
        settings = (self._train, device, self.threads, cpu_report_interval(self._hang_after))
        with (
            exit_on_sigterm(replace_handler=True),
            contextlib.closing(RunningTasks(ray, dataset, settings)) as running,
        ):
            hangs = HangDetector(self._hang_after)
            driver = _Driver(running, queue, costs, hangs, self._workers, device, progress)
            yield from driver.results()


class _Driver:
    """Submits the tasks of one run, collects their results, and retries after faults."""

    def __init__(
        self,
        running: RunningTasks,
        queue: Sequence[PackTask],
        costs: Mapping[str, float],
        hangs: HangDetector,
        workers: int | None,
        device: str,
        progress: Progress,
    ) -> None:
        self._running = running
        self._queue = deque(queue)
        self._costs = costs
        self._hangs = hangs
        self._workers = workers
        self._device = device
        self._progress = progress
        self._pieces_left = {task.whole.key: 1 for task in queue}
        self._records: dict[str, list[Record]] = {}
        self._begun: set[str] = set()
        self._counted = -_COUNT_NODES_EVERY
        self._nodes: list[Resources] = []

    def results(self) -> Iterator[PackResult]:
        """Train all packs, with a bounded number of tasks submitted; yield each as it ends."""
        while self._queue or len(self._running):
            self._submit()
            ended = self._running.ended()
            self._read_reports()
            for submission, task, ref in ended:
                self._hangs.end(submission)
                yield from self._collect(task, ref)
            yield from self._end_hanging()

    def _submit(self) -> None:
        if time.monotonic() - self._counted >= _COUNT_NODES_EVERY:
            self._counted = time.monotonic()
            self._nodes = ray_cluster.nodes(self._running.ray)
        while self._queue and len(self._running) < self._most_submitted():
            first, *rest = self._queue.popleft().fit_to(self._nodes)
            self._pieces_left[first.whole.key] += len(rest)
            self._queue.extendleft(rest)
            self._running.submit(first)

    def _most_submitted(self) -> int:
        if self._workers is not None:
            return self._workers
        slots = tasks_at_once(self._nodes, self._queue[0].resources.capped(self._nodes))
        return _SUBMITTED_PER_SLOT * max(1, slots)

    def _collect(self, task: PackTask, ref: Any) -> Iterator[PackResult]:
        errors = self._running.ray.exceptions
        try:
            result: PackResult = self._running.ray.get(ref)
        except errors.OutOfMemoryError:
            yield from self._retry(task, "memory")
        except errors.WorkerCrashedError:
            yield from self._retry(task, "process")
        except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
            yield from self._retry(task, "node")
        except errors.RayTaskError as error:
            raise _as_input_error(error) from error
        else:
            if result.error and ran_out_of_memory(result.error) and not task.split:
                yield from self._retry(task, "memory")
            else:
                yield from self._finish(task, result)

    def _retry(self, task: PackTask, fault: Fault, cause: str = "") -> Iterator[PackResult]:
        pieces = task.retry(fault)
        self._begun.discard(task.whole.key)
        if not pieces:
            reason = task.failure(fault, cause)
            yield from self._finish(task, failed(task.pack, reason, self._device))
            return
        self._pieces_left[task.whole.key] += len(pieces) - 1
        # Last in the queue, where fewer others compete with it for memory.
        self._queue.extend(pieces)

    def _finish(self, task: PackTask, result: PackResult) -> Iterator[PackResult]:
        key = task.whole.key
        self._pieces_left[key] -= 1
        self._records.setdefault(key, []).extend(result.records)
        if self._pieces_left[key] == 0:
            # Failed records first: progress looks at the first one.
            records = sorted(self._records.pop(key), key=lambda record: record.outcome != "failed")
            self._progress.finished(task.whole, records)
        yield result

    def _read_reports(self) -> None:
        reports, running = self._running.reports(), self._running.running()
        if reports is None:
            # Time stands still while the actor does not answer: that is no fault of the packs.
            return
        self._hangs.tick()
        for submission, (done, total) in reports.epochs.items():
            if submission in running:
                self._note_epoch(submission, running[submission], done, total)
        for submission, seconds in reports.cpu_times.items():
            self._hangs.cpu_time(submission, seconds)

    def _note_epoch(self, submission: str, task: PackTask, done: int, total: int) -> None:
        key = task.whole.key
        if key not in self._begun:
            self._begun.add(key)
            self._progress.started(task.whole)
        if submission not in self._hangs:
            share = len(task.pack.trials) / len(task.whole.trials)
            self._hangs.begin(submission, share * self._costs[key])
        if done:
            self._hangs.epoch(submission)
            self._progress.epoch(task.whole, done, total)

    def _end_hanging(self) -> Iterator[PackResult]:
        for submission, task in self._running.running().items():
            reason = self._hangs.reason(submission)
            if reason is not None:
                self._hangs.forget(submission)
                self._running.cancel(submission)
                yield from self._retry(task, "hang", reason)


def _as_input_error(error: Any) -> InputError:
    """Return what to say if a task failed before it could train."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, InputError):
        return InputError(str(cause))
    return InputError(
        f"a node of the cluster cannot train ({describe(cause)[:300]}): install byheart[ray], and "
        "the module of your own network, on every node"
    )

"""Packs as Ray tasks: retries after faults, the tasks that run, and the code that runs on nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from byheart.errors import InputError
from byheart.runners.base import (
    DatasetParts,
    PackResult,
    TrainFunction,
    attempt,
    resolve,
    threads_pinned,
    throttled,
)
from byheart.runners.hangs import cpu_time_reports
from byheart.runners.ray_cluster import Resources
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

Fault = Literal["node", "process", "memory", "hang"]
"""A node was lost; a process died; a pack did not fit into memory; a pack hung."""
MOST_LOST_NODES = 10
"""Nodes that may be lost with a pack: not its fault, but a cluster that loses all is no use."""
_MOST_HANGS = 2
"""Processes that may hang with a pack before it counts as failed."""
_REASONS = {
    "node": "its node was lost {lost_nodes} times",
    "process": "its worker died {crashes} times, perhaps out of memory",
    "hang": "it hung {hangs} times: {cause}",
    "memory": "it does not fit into memory, neither whole nor in halves",
}
_NO_MEMORY = ("OutOfMemoryError", "MemoryError", "out of memory", "can't allocate memory")
"""Words with which libraries report that memory is full."""
_WAIT = 0.5
"""Seconds to wait for a task to end, before the driver reads the progress reports."""
_CANCEL_WAIT = 10.0
"""Seconds to wait for tasks that were cancelled."""
_EPOCHS_EVERY = 1.0
"""Seconds between two reports of epochs: a cluster has many packs, and one driver."""
_LIBRARIES = ("byheart", "torch")


@dataclass(frozen=True)
class PackTask:
    """A pack, or half of one, as a task of the cluster.

    Attributes:
        whole: the pack as it was planned.
        pack: the trials of this task.
        resources: what the task asks of a node.
        crashes: processes that died while they trained it.
        lost_nodes: nodes that were lost while they trained it.
        hangs: processes that hung while they trained it.
        split: it was split, or given more memory, once: there is no second time.
    """

    whole: Pack
    pack: Pack
    resources: Resources
    crashes: int = 0
    lost_nodes: int = 0
    hangs: int = 0
    split: bool = False

    def fit_to(self, nodes: Sequence[Resources]) -> tuple[PackTask, ...]:
        """Return the task in pieces that some node has the memory for, as far as is known."""
        if self.resources.capped(nodes) == self.resources:
            return (self,)
        pieces = (self,) if self.split else self._in_halves()
        return tuple(replace(p, resources=p.resources.capped(nodes)) for p in pieces)

    def retry(self, fault: Fault) -> tuple[PackTask, ...]:
        """Return the tasks to try after a fault; none if enough was tried.

        A lost node costs nothing but time. A pack that hung is tried once more. If a process died,
        the system may have ended it because memory was short: its pack is tried once more whole.
        After that, and if memory is known to be the cause, each half is tried once, with the memory
        that the whole pack had asked for.
        """
        match fault:
            case "node":
                task = replace(self, lost_nodes=self.lost_nodes + 1)
                return (task,) if task.lost_nodes < MOST_LOST_NODES else ()
            case "hang":
                task = replace(self, hangs=self.hangs + 1)
                return (task,) if task.hangs < _MOST_HANGS else ()
            case "process":
                task = replace(self, crashes=self.crashes + 1)
                if task.crashes == 1 and not self.split:
                    return (task,)
            case "memory":
                task = self
        return () if self.split else task._in_halves()

    def failure(self, fault: Fault, cause: str = "") -> str:
        """Return why the task has failed for good, after one more fault."""
        return _REASONS[fault].format(
            lost_nodes=self.lost_nodes + 1,
            crashes=self.crashes + 1,
            hangs=self.hangs + 1,
            cause=cause,
        )

    def _in_halves(self) -> tuple[PackTask, ...]:
        """Return each half with the memory of the whole; a single trial with twice its memory."""
        trials = self.pack.trials
        if len(trials) == 1:
            memory = 2 * self.resources.memory
            return (replace(self, resources=replace(self.resources, memory=memory), split=True),)
        middle = len(trials) // 2
        halves = (Pack(trials[:middle]), Pack(trials[middle:]))
        return tuple(replace(self, pack=half, split=True) for half in halves)


def ran_out_of_memory(reason: str) -> bool:
    """Return whether the reason of a failed training is that there was no memory."""
    return any(words in reason for words in _NO_MEMORY)


class Reports(NamedTuple):
    """What tasks have reported since the last time, by id of the submission.

    Attributes:
        epochs: (done, total); done is 0 when a task begins.
        cpu_times: seconds of processor time used.
    """

    epochs: dict[str, tuple[int, int]]
    cpu_times: dict[str, float]


class ProgressActor:
    """A Ray actor that collects the reports of tasks until the driver reads them."""

    def __init__(self) -> None:
        self._reports = Reports({}, {})

    def epoch(self, submission: str, done: int, total: int) -> None:
        """Note that a task has trained ``done`` of ``total`` epochs; 0 when it begins."""
        self._reports.epochs[submission] = (done, total)

    def cpu_time(self, submission: str, seconds: float) -> None:
        """Note how many seconds of processor time a task has used."""
        self._reports.cpu_times[submission] = seconds

    def take(self) -> Reports:
        """Return what was reported since the last time."""
        reports, self._reports = self._reports, Reports({}, {})
        return reports


class RunningTasks:
    """The tasks that were submitted and have not ended.

    Each submission has an id of its own, so that a late report of an earlier attempt at the same
    pack is not taken for one of this attempt.

    Args:
        ray: the module, connected.
        dataset: goes into the object store.
        settings: training function, device, threads, seconds between reports of processor time.
    """

    def __init__(
        self,
        ray: Any,
        dataset: Dataset,
        settings: tuple[TrainFunction | str, str, int, float | None],
    ) -> None:
        self.ray = ray
        self._settings = settings
        self._tasks: dict[Any, tuple[str, PackTask]] = {}
        self._submitted = 0
        self._versions = versions()
        self._data = ray.put(DatasetParts.of(dataset))
        # byheart answers faults itself: Ray does not tell a lost node from a pack that is too
        # large. Processes stay after a task, also on a GPU, since loading torch takes long.
        self._train = ray.remote(max_retries=0, max_calls=0)(train_pack)
        # On the node of the driver: the actor is needed as long as the driver.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        actor = ray.remote(num_cpus=0, max_restarts=-1)(ProgressActor)
        self._actor = actor.options(scheduling_strategy=here).remote()
        self._next_reports = self._actor.take.remote()

    def __len__(self) -> int:
        return len(self._tasks)

    def submit(self, task: PackTask) -> None:
        """Hand a task to the cluster."""
        needs = task.resources
        options = self._train.options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=int(needs.memory), name=task.pack.name
        )
        self._submitted += 1
        submission = str(self._submitted)
        ref = options.remote(
            submission, task.pack, self._data, *self._settings, self._versions, self._actor
        )
        self._tasks[ref] = (submission, task)

    def ended(self) -> list[tuple[str, PackTask, Any]]:
        """Wait a little; return (submission, task, reference to the result) of what ended."""
        refs, _ = self.ray.wait(list(self._tasks), num_returns=1, timeout=_WAIT)
        return [(*self._tasks.pop(ref), ref) for ref in refs]

    def running(self) -> dict[str, PackTask]:
        """Return the tasks that have not ended, by submission."""
        return dict(self._tasks.values())

    def reports(self) -> Reports | None:
        """Return what tasks have reported since the last time, also those that have ended.

        Never waits: None if the actor has not answered yet.
        """
        ready, _ = self.ray.wait([self._next_reports], timeout=0)
        if not ready:
            return None
        reports = None
        # If the node of the actor was lost, it starts anew. Only progress is lost.
        with contextlib.suppress(self.ray.exceptions.RayError):
            reports = self.ray.get(self._next_reports)
        self._next_reports = self._actor.take.remote()
        return reports

    def cancel(self, submission: str) -> None:
        """End a task by force, also one that no longer answers, and forget it."""
        (ref,) = [ref for ref, (name, _) in self._tasks.items() if name == submission]
        del self._tasks[ref]
        self.ray.cancel(ref, force=True)

    def close(self) -> None:
        """End all tasks by force: they hold nothing that could be left half done."""
        if self._tasks:
            refs = list(self._tasks)
            # Ray's core can abort the driver if a task is cancelled just as it ends
            # (ray-project/ray#54785): cancel no task that has ended.
            _, running = self.ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in running:
                self.ray.cancel(ref, force=True)
            self.ray.wait(refs, num_returns=len(refs), timeout=_CANCEL_WAIT)
        self.ray.kill(self._actor)


def train_pack(
    submission: str,
    pack: Pack,
    data: DatasetParts,
    train: TrainFunction | str,
    device: str,
    threads: int,
    report_every: float | None,
    driver_versions: Mapping[str, str],
    actor: Any,
) -> PackResult:
    """Train a pack on this node; if training raises, each trial gets a failed record.

    Args:
        submission: id under which the actor collects reports.
        pack: what to train.
        data: the data set.
        train: the training function, or "module:callable".
        device: "cpu" or "cuda".
        threads: CPU threads of torch.
        report_every: seconds between two reports of processor time; None for none.
        driver_versions: versions of the libraries of the driver.
        actor: a :class:`ProgressActor`.

    Raises:
        InputError: this node has other versions than the driver.
    """
    require_same(driver_versions)
    actor.epoch.remote(submission, 0, 1)
    on_epoch = throttled(partial(actor.epoch.remote, submission), _EPOCHS_EVERY)
    reports = cpu_time_reports(partial(actor.cpu_time.remote, submission), report_every)
    with threads_pinned(threads), reports:
        result = attempt(resolve(train), pack, data.joined(), device, on_epoch)
    if device == "cuda":
        import torch

        # The process stays for the next pack, and others share the GPU with it.
        torch.cuda.empty_cache()
    return result


def versions() -> dict[str, str]:
    """Return the versions that decide the bits; builds for GPUs and CPUs count as equal."""
    return {name: metadata.version(name).partition("+")[0] for name in _LIBRARIES}


def require_same(driver_versions: Mapping[str, str]) -> None:
    """Refuse to train with other versions than the driver's.

    Raises:
        InputError: a version differs.
    """
    for name, version in versions().items():
        if driver_versions[name] != version:
            raise InputError(
                f"a node of the cluster has {name} {version}, and this machine "
                f"{driver_versions[name]}: install the same version on all of them"
            )

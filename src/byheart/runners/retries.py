"""What is tried again after a fault on a cluster, how often, and in how large a piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from byheart.runners.ray_cluster import Resources
from byheart.training.packs import Pack

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
"""How libraries report that there was no memory."""


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
        return tuple(replace(one, resources=one.resources.capped(nodes)) for one in pieces)

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

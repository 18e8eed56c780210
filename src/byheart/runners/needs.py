"""What a pack needs of a node, and how many packs that leaves room for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

PROCESS = 500 * 2**20
"""Bytes of a process that has torch and ray loaded, beside the pack."""
CONTEXT = 600 * 2**20
"""Bytes of a GPU that a process takes before it has trained anything."""
_MOST_PER_GPU = 8
"""Packs on one GPU: more of them only wait for each other."""


@dataclass(frozen=True)
class Needs:
    """What a task asks of a node, or what a node has.

    Attributes:
        cpus: cores.
        gpus: GPUs; a part of one where several packs share it.
        memory: bytes.
    """

    cpus: float
    gpus: float
    memory: float

    def doubled(self) -> Needs:
        """Return twice the memory, for a pack that turned out to need more than was thought."""
        return replace(self, memory=2 * self.memory)

    def within(self, nodes: Iterable[Needs]) -> Needs:
        """Return the same with no more memory than the largest node has: it gets that to itself."""
        most = max((node.memory for node in nodes), default=self.memory)
        return replace(self, memory=min(self.memory, most))


def needs_of(pack: Pack, dataset: Dataset, *, threads: int, gpu_bytes: int | None = None) -> Needs:
    """Return what a pack needs.

    Args:
        pack: is to be trained.
        dataset: the clean source.
        threads: CPU threads.
        gpu_bytes: memory of a GPU; None trains on the CPU.
    """
    from byheart.training.cost import pack_bytes

    bytes_of_pack = pack_bytes(pack, dataset.shape, dataset.n_classes)
    if gpu_bytes is None:
        return Needs(threads, 0.0, PROCESS + bytes_of_pack)
    fitting = gpu_bytes // (CONTEXT + bytes_of_pack)
    return Needs(threads, 1 / min(_MOST_PER_GPU, max(1, fitting)), PROCESS)


def side_by_side(nodes: Iterable[Needs], need: Needs) -> int:
    """Return how many tasks of one need the cores, GPUs and memory of these nodes hold at once."""
    return sum(_held(node, need) for node in nodes)


def _held(node: Needs, need: Needs) -> int:
    rooms = ((node.cpus, need.cpus), (node.gpus, need.gpus), (node.memory, need.memory))
    # A third of a GPU three times is a whole one, and not a bit more.
    return min((int(has / wants + 1e-6) for has, wants in rooms if wants), default=0)


def halves(pack: Pack) -> tuple[Pack, ...]:
    """Return the two halves of a pack; the pack alone where it is one trial."""
    middle = len(pack.trials) // 2
    parts = (pack.trials[:middle], pack.trials[middle:])
    return tuple(Pack(part) for part in parts if part)

"""The tasks in flight on a cluster, and the board on which they write how far they are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from byheart.runners.base import TrainFunction
from byheart.runners.ray_task import Board, News, parcel, train_pack, versions
from byheart.runners.retries import Part

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

_PATIENCE = 0.5
"""Seconds between two looks at how far the packs are."""
_FAREWELL = 10.0
"""Seconds to wait for tasks that were cancelled."""


class Flight(NamedTuple):
    """A task in flight.

    Attributes:
        name: of this flight alone: what an earlier one of the same pack said last is not taken for
            this one's.
        part: what it trains.
    """

    name: str
    part: Part


class Tasks:
    """The tasks in flight, and what they share: the data set and the board.

    Args:
        ray: the module, connected.
        dataset: goes into the object store.
        how: training function, device, threads, and seconds between two beats.
    """

    def __init__(
        self, ray: Any, dataset: Dataset, how: tuple[TrainFunction | str, str, int, float | None]
    ) -> None:
        self.ray = ray
        self._how = how
        self._flying: dict[Any, Flight] = {}
        self._started = 0
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
        self._started += 1
        flight = Flight(str(self._started), part)
        ref = task.remote(
            flight.name, part.pack, self._data, *self._how, self._versions, self._board
        )
        self._flying[ref] = flight

    def ended(self) -> list[tuple[Flight, Any]]:
        """Wait a little; return what ended, each with the reference to its result."""
        refs, _ = self.ray.wait(list(self._flying), num_returns=1, timeout=_PATIENCE)
        return [(self._flying.pop(ref), ref) for ref in refs]

    def flying(self) -> dict[str, Part]:
        """Return what is in flight, by name of the flight."""
        return {flight.name: flight.part for flight in self._flying.values()}

    def news(self) -> News | None:
        """Return what tasks said since the last time, perhaps after their end.

        Never waits: None where the board has not answered yet.
        """
        ready, _ = self.ray.wait([self._asked], timeout=0)
        if not ready:
            return None
        news = None
        # A board whose node was lost starts anew: only how far the packs are is lost with it.
        with contextlib.suppress(self.ray.exceptions.RayError):
            news = self.ray.get(self._asked)
        self._asked = self._board.take.remote()
        return news

    def cancel(self, name: str) -> None:
        """End a flight by force, also one that no longer answers, and forget it."""
        (ref,) = [ref for ref, flight in self._flying.items() if flight.name == name]
        del self._flying[ref]
        self.ray.cancel(ref, force=True)

    def close(self) -> None:
        """End all tasks, by force: they hold nothing that could be left half done."""
        if self._flying:
            every = list(self._flying)
            # A task that is cancelled while it ends can take Ray's core, and the driver, with it
            # (ray-project/ray#54785): the fewer are, the better.
            _, running = self.ray.wait(every, num_returns=len(every), timeout=0)
            for ref in running:
                self.ray.cancel(ref, force=True)
            self.ray.wait(every, num_returns=len(every), timeout=_FAREWELL)
        self.ray.kill(self._board)

"""One pack after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from byheart.runners.base import (
    ENGINE,
    PackResult,
    TrainFunction,
    attempt,
    resolve,
    threads_pinned,
)
from byheart.runners.costs import costs_of
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.runners.base import Progress


class InlineRunner:
    """Trains in this process: the least to go wrong, and the one for debuggers and GPUs.

    Args:
        threads: CPU threads of torch while a pack trains; None leaves torch's own choice.
        train: the training function, or "module:callable".
    """

    name = "inline"

    def __init__(self, threads: int | None = None, train: TrainFunction | str = ENGINE) -> None:
        self.threads = threads
        self._train = train

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset, device: str) -> int:
        """Return 1."""
        return 1

    def doing(self, train: TrainFunction | str) -> InlineRunner:
        """Return a runner like this one that does something else with each pack."""
        return InlineRunner(self.threads, train)

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends, in the order given; see :class:`Runner`."""
        train = resolve(self._train)
        progress.planned(costs_of(packs, dataset))
        for pack in packs:
            progress.started(pack)

            def on_epoch(done: int, total: int, pack: Pack = pack) -> None:
                progress.epoch(pack, done, total)

            with threads_pinned(self.threads):
                result = attempt(train, pack, dataset, device, on_epoch)
            progress.finished(pack, result.records)
            yield result

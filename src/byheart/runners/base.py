"""What a runner is, and what it hands back: records, also where training failed."""

from __future__ import annotations

import contextlib
import importlib
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from byheart.record import Record
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

ENGINE = "byheart.training.engine:train"
"""Named, not imported: a runner is made before anyone knows whether torch is needed."""

OnEpoch = Callable[[int, int], None]


class TrainFunction(Protocol):
    """Trains a pack; see :func:`byheart.training.engine.train`."""

    def __call__(
        self, pack: Pack, dataset: Dataset, *, device: str, on_epoch: OnEpoch
    ) -> Sequence[Record]:
        """Return one record per trial of the pack, in order."""
        ...


class PackResult(NamedTuple):
    """A pack that ended: one record per trial, and why it failed, if it did."""

    pack: Pack
    records: Sequence[Record]
    error: str | None = None


class Progress(Protocol):
    """Is told by session and runner how it goes. No method may raise: training comes first."""

    def note(self, line: str) -> None:
        """Something the user should know before training starts."""
        ...

    def skipped(self, done: int) -> None:
        """So many trials are stored already and are not trained again."""
        ...

    def later(self, cost: float) -> None:
        """Rounds that depend on the next one will cost at most so much, in the unit of packs."""
        ...

    def planned(self, costs: Mapping[str, float]) -> None:
        """These packs will be trained, after those of the rounds before: costs by pack id."""
        ...

    def started(self, pack: Pack) -> None:
        """A pack begins to train, perhaps once more."""
        ...

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """A pack has trained ``done`` of at most ``total`` epochs."""
        ...

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """A pack ended, well or not."""
        ...

    def close(self) -> None:
        """Nothing more will come: finished, failed or interrupted."""
        ...


class Runner(Protocol):
    """Trains packs, in any order, and never loses one: what fails is recorded as failed."""

    name: str

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset, device: str) -> int:
        """Return how many packs it would train at a time.

        Args:
            packs: those that are to be trained.
            dataset: the clean source.
            device: "cpu", "cuda" or "mps".
        """
        ...

    def doing(self, train: TrainFunction | str) -> Runner:
        """Return a runner like this one that does something else with each pack.

        Args:
            train: takes the place of the training function.
        """
        ...

    def run(
        self, packs: Sequence[Pack], dataset: Dataset, *, device: str, progress: Progress
    ) -> Generator[PackResult, None, None]:
        """Yield every pack as it ends; closing the iterator ends all training at once.

        Args:
            packs: what to train.
            dataset: the clean source that the trials' fingerprint names.
            device: "cpu", "cuda" or "mps".
            progress: is told how it goes.
        """
        ...


def resolve(train: TrainFunction | str) -> TrainFunction:
    """Return the training function that "module:callable" names."""
    if not isinstance(train, str):
        return train
    module, _, name = train.partition(":")
    return cast(TrainFunction, getattr(importlib.import_module(module), name))


def attempt(
    train: TrainFunction, pack: Pack, dataset: Dataset, device: str, on_epoch: OnEpoch
) -> PackResult:
    """Train a pack; whatever it raises becomes a failed record of each of its trials."""
    try:
        records = list(train(pack, dataset, device=device, on_epoch=on_epoch))
    except Exception as error:
        return failed(pack, describe(error), device)
    if [record.trial.key for record in records] != [trial.key for trial in pack.trials]:
        return failed(pack, "training did not return one record per trial", device)
    return PackResult(pack, records)


def failed(pack: Pack, reason: str, device: str) -> PackResult:
    """Return a pack none of whose trials could be trained."""
    records = [Record(t, "failed", epochs=0, device=device, reason=reason) for t in pack.trials]
    return PackResult(pack, records, reason)


def describe(error: BaseException) -> str:
    """Return type, message and place of an exception, in one line."""
    message = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}" if message else type(error).__name__ + place


def pack_id(pack: Pack) -> str:
    """Return what tells a pack from others of the same plan: no trial is in two packs."""
    return pack.trials[0].key


@contextlib.contextmanager
def threads_pinned(threads: int | None) -> Iterator[None]:
    """Let torch use so many CPU threads, then as many as before; None changes nothing."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def throttled(tell: Callable[[int, int], None], every: float) -> Callable[[int, int], None]:
    """Return what passes (epochs done, budget) on, and not too often: whoever listens is busy.

    Args:
        tell: is told of the first epoch, and of those that come long enough after.
        every: seconds between two reports, at least.
    """
    last = -every

    def on_epoch(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every:
            last = now
            tell(done, total)

    return on_epoch

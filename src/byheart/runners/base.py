"""What a runner is, what it returns, and the simplest one, which trains in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from byheart.record import Record
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

ENGINE = "byheart.training.engine:train"
"""A name, not an import: a runner is made before anyone knows whether torch is needed."""

OnEpoch = Callable[[int, int], None]


class TrainFunction(Protocol):
    """Trains a pack; see :func:`byheart.training.engine.train`."""

    def __call__(
        self, pack: Pack, dataset: Dataset, *, device: str, on_epoch: OnEpoch
    ) -> Sequence[Record]:
        """Return one record per trial of the pack, in order."""
        ...


class PackResult(NamedTuple):
    """A pack that ended: one record per trial, and the error if it failed."""

    pack: Pack
    records: Sequence[Record]
    error: str | None = None


class Progress:
    """Is told how a study goes. This class says nothing; others override what they show.

    No method may raise: training comes first.
    """

    def note(self, line: str) -> None:
        """Show a line that the user should know before training starts."""

    def skipped(self, done: int) -> None:
        """Note that ``done`` trials are stored already and are not trained again."""

    def predicted(self, seconds: Mapping[str, float], later: float, workers: int) -> None:
        """Note the predicted times of a round.

        Args:
            seconds: of each of its packs, by key.
            later: of the rounds after it, at most.
            workers: packs trained at a time.
        """

    def planned(self, costs: Mapping[str, float]) -> None:
        """Note packs that will be trained after those of earlier rounds: costs by pack id."""

    def started(self, pack: Pack) -> None:
        """Note that a pack begins to train, perhaps once more."""

    def epoch(self, pack: Pack, done: int, total: int) -> None:
        """Note that a pack has trained ``done`` of at most ``total`` epochs."""

    def finished(self, pack: Pack, records: Sequence[Record]) -> None:
        """Note that a pack ended, failed or not."""

    def close(self) -> None:
        """Note the end: finished, failed or interrupted."""


class Runner(Protocol):
    """Trains packs in any order. It never loses one: what fails is recorded as failed."""

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


def costs_of(packs: Sequence[Pack], dataset: Dataset) -> dict[str, float]:
    """Return the cost of each pack by its id: floating-point operations of its whole budget."""
    # Loaded late: torch comes with it, and `byheart claims` comes by here too.
    from byheart.training.cost import flops

    shape, classes = tuple(dataset.x.shape[1:]), len(dataset.classes)
    return {pack.key: sum(flops(trial, shape, classes) for trial in pack.trials) for pack in packs}


class InlineRunner:
    """Trains one pack after the other in this process: for debuggers, and for a single GPU.

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


def resolve(train: TrainFunction | str) -> TrainFunction:
    """Return the training function that "module:callable" names."""
    if not isinstance(train, str):
        return train
    module, _, name = train.partition(":")
    return cast(TrainFunction, getattr(importlib.import_module(module), name))


def attempt(
    train: TrainFunction, pack: Pack, dataset: Dataset, device: str, on_epoch: OnEpoch
) -> PackResult:
    """Train a pack; if it raises, each of its trials gets a failed record."""
    try:
        records = list(train(pack, dataset, device=device, on_epoch=on_epoch))
    except Exception as error:
        return failed(pack, describe(error), device)
    if [record.trial.key for record in records] != [trial.key for trial in pack.trials]:
        return failed(pack, "training did not return one record per trial", device)
    return PackResult(pack, records)


def failed(pack: Pack, reason: str, device: str) -> PackResult:
    """Return the result of a pack that could not be trained."""
    records = [Record(t, "failed", epochs=0, device=device, reason=reason) for t in pack.trials]
    return PackResult(pack, records, reason)


def describe(error: BaseException) -> str:
    """Return type, message and place of an exception, in one line."""
    message = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}" if message else type(error).__name__ + place


@contextlib.contextmanager
def threads_pinned(threads: int | None) -> Iterator[None]:
    """Let torch use this number of CPU threads, then as many as before; None changes nothing."""
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
    """Return a function that passes (epochs done, budget) on, but not too often.

    Args:
        tell: is told of the first epoch, and of those that come long enough after the last.
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


class DatasetParts(NamedTuple):
    """A data set in parts that are cheap to send to another process.

    Attributes:
        kind: the class of the data set.
        arrays: its tensors as numpy arrays, which processes can share.
        others: its other fields.
    """

    kind: type[Dataset]
    arrays: Mapping[str, Any]
    others: Mapping[str, Any]

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetParts:
        """Return the parts of a data set."""
        import torch

        fields = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
        arrays = {
            name: value.cpu().numpy()
            for name, value in fields.items()
            if isinstance(value, torch.Tensor)
        }
        others = {name: value for name, value in fields.items() if name not in arrays}
        return cls(type(dataset), arrays, others)

    def joined(self) -> Dataset:
        """Return the data set, without a copy of its arrays."""
        import torch

        with warnings.catch_warnings():
            # torch has no read-only tensors and says so; training never writes to its data set.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        fields: dict[str, Any] = {**self.others, **tensors}
        return self.kind(**fields)

"""The other side of the Ray runner: a task that trains a pack, on some node of the cluster."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from byheart.errors import InputError
from byheart.runners.base import (
    PackResult,
    TrainFunction,
    attempt,
    resolve,
    threads_pinned,
    throttled,
)
from byheart.runners.pulse import beating
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

EPOCHS_EVERY = 1.0
"""Seconds between two reports of how far a pack is: a cluster has many packs, and one driver."""
_LIBRARIES = ("byheart", "torch")


class Parcel(NamedTuple):
    """A data set as it lies in the object store: once per node, shared by all tasks there.

    Attributes:
        kind: the class of the data set.
        arrays: its tensors, as arrays, which Ray maps into the memory of each task.
        others: its other fields.
    """

    kind: type[Dataset]
    arrays: Mapping[str, Any]
    others: Mapping[str, Any]


class News(NamedTuple):
    """What tasks said since the last time, by name of the flight.

    Attributes:
        epochs: (done, total); none are done when a task begins.
        beats: seconds of processor time that it has used.
    """

    epochs: dict[str, tuple[int, int]]
    beats: dict[str, float]


class Board:
    """An actor on which tasks write how far they are, and from which the driver reads."""

    def __init__(self) -> None:
        self._news = News({}, {})

    def tell(self, flight: str, done: int, total: int) -> None:
        """Note that a task has trained ``done`` of ``total`` epochs; 0 when it begins."""
        self._news.epochs[flight] = (done, total)

    def beat(self, flight: str, used: float) -> None:
        """Note how many seconds of processor time a task has used."""
        self._news.beats[flight] = used

    def take(self) -> News:
        """Return what was told since the last time."""
        news, self._news = self._news, News({}, {})
        return news


def parcel(dataset: Dataset) -> Parcel:
    """Return a data set in the form that tasks get it in."""
    import torch

    fields = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
    arrays = {
        name: value.cpu().numpy()
        for name, value in fields.items()
        if isinstance(value, torch.Tensor)
    }
    others = {name: value for name, value in fields.items() if name not in arrays}
    return Parcel(type(dataset), arrays, others)


def train_pack(
    flight: str,
    pack: Pack,
    parcel: Parcel,
    train: TrainFunction | str,
    device: str,
    threads: int,
    beats_every: float | None,
    versions: Mapping[str, str],
    board: Any,
) -> PackResult:
    """Train a pack on this node; what goes wrong in training becomes failed records.

    Args:
        flight: its name on the board.
        pack: what to train.
        parcel: the data set.
        train: the training function, or "module:callable".
        device: "cpu" or "cuda".
        threads: CPU threads of torch.
        beats_every: seconds between two beats, if anyone listens for them.
        versions: of the libraries of the driver.
        board: actor that is told how it goes.

    Raises:
        InputError: this node has other versions than the driver.
    """
    require_same(versions)
    board.tell.remote(flight, 0, 1)
    on_epoch = throttled(partial(board.tell.remote, flight), EPOCHS_EVERY)
    pulse = beating(partial(board.beat.remote, flight), beats_every)
    with threads_pinned(threads), pulse:
        result = attempt(resolve(train), pack, opened(parcel), device, on_epoch)
    if device == "cuda":
        import torch

        # The process stays for the next pack, and others share the GPU with it.
        torch.cuda.empty_cache()
    return result


def opened(parcel: Parcel) -> Dataset:
    """Return the data set of a parcel, without a copy."""
    import torch

    with warnings.catch_warnings():
        # torch has no read-only tensors and says so; training never writes to its data set.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in parcel.arrays.items()}
    arguments: dict[str, Any] = {**parcel.others, **tensors}
    return parcel.kind(**arguments)


def versions() -> dict[str, str]:
    """Return the versions of what decides the bits; builds for GPUs and CPUs count as equal."""
    return {name: metadata.version(name).partition("+")[0] for name in _LIBRARIES}


def require_same(theirs: Mapping[str, str]) -> None:
    """Refuse to train with other versions than the driver's.

    Raises:
        InputError: there are some.
    """
    for name, version in versions().items():
        if theirs[name] != version:
            raise InputError(
                f"a node of the cluster has {name} {version}, and this machine {theirs[name]}: "
                "install the same version on all of them"
            )

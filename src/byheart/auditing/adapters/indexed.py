"""Add example ids to a data set, and find ids, labels and logits in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from byheart.errors import InputError

ID = "id"
"""Key of the id in a sample or a batch that is a dict."""
Where = str | int | Callable[[Any], Any] | None
"""A key or position in the batch, or a function of the batch; None for the default place."""

LABELS = ("label", "labels", "target", "targets", "y")
"""Keys under which byheart looks for the labels of a batch that is a dict."""


class IndexedDataset(Dataset[Any]):
    """Adds its id to every sample of a map-style data set: the index in that data set.

    The id becomes the last member of a tuple or list: ``(x, y)`` becomes ``(x, y, id)``. A dict
    gets it under ``"id"``. Any other sample becomes a pair of the sample and its id. Batching,
    shuffling, splitting (``Subset``, ``random_split``) and workers are as before.

    Wrap the whole training set, then split it: a subset of an ``IndexedDataset`` keeps the ids of
    the whole. An ``IndexedDataset`` of a subset counts from 0 within the subset.

    Args:
        dataset: has ``__getitem__`` and ``__len__``.

    Raises:
        InputError: the data set has no indices, or a sample cannot take an id.

    Example:
        >>> data = IndexedDataset([([0.5], 1), ([0.25], 0)])
        >>> data[1]
        ([0.25], 0, 1)
        >>> IndexedDataset([{"x": 0.5, "label": 1}])[-1]
        {'x': 0.5, 'label': 1, 'id': 0}
    """

    def __init__(self, dataset: Any) -> None:
        is_map_style = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not is_map_style or isinstance(dataset, IterableDataset | Mapping):
            raise InputError(
                f"{type(dataset).__name__} has no indices: IndexedDataset needs a map-style data "
                "set, with __getitem__ and __len__"
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Return a sample with its id; indices below 0 count from the end."""
        return with_id(self.dataset[index], self._id(index))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several samples at once, as a DataLoader asks for where a data set can do so."""
        at_once = getattr(self.dataset, "__getitems__", None)
        samples = at_once(indices) if at_once else [self.dataset[index] for index in indices]
        pairs = zip(samples, indices, strict=True)
        return [with_id(sample, self._id(index)) for sample, index in pairs]

    def _id(self, index: int) -> int:
        return int(index) if index >= 0 else int(index) + len(self)


def with_id(sample: Any, number: int) -> Any:
    """Return a copy of a sample with an id; refuse a named tuple, and a dict with another id."""
    if isinstance(sample, Mapping):
        if sample.get(ID, number) != number:
            raise InputError(
                f"sample {number} already has the {ID} {sample[ID]!r}: leave the data set as it is "
                "and use its own, or rename that column"
            )
        return {**sample, ID: number}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        raise InputError(
            f"a {type(sample).__name__} cannot take an id: give dicts, or plain tuples, as samples"
        )
    if isinstance(sample, tuple):
        return (*sample, number)
    return [*sample, number] if isinstance(sample, list) else (sample, number)


def ids_of(batch: Any, where: Where = None) -> Any:
    """Return the ids of a batch: from ``where``, or under "id", or the last of three or more."""
    if where is None and isinstance(batch, Mapping):
        where = ID if ID in batch else None
    elif where is None and _is_sequence(batch) and len(batch) >= 3:
        where = -1
    if where is None:
        raise InputError(
            f"the batch ({_describe(batch)}) has no ids: wrap the training set in "
            "byheart.IndexedDataset, or say where they are: TrackerCallback(..., ids=...)"
        )
    return _read_from_batch("ids", batch, where)


def labels_of(batch: Any, where: Where = None) -> Any:
    """Return the labels of a batch: from ``where``, under a usual key, or those before the ids."""
    if where is None and isinstance(batch, Mapping):
        where = next((key for key in LABELS if key in batch), None)
    elif where is None and _is_sequence(batch) and len(batch) >= 3:
        where = -2
    if where is None:
        raise InputError(
            f"the batch ({_describe(batch)}) has no labels in a usual place: say where they are: "
            "TrackerCallback(..., labels=...)"
        )
    return _read_from_batch("labels", batch, where)


def logits_of(output: Any) -> Any:
    """Return the logits: the output itself, or its member ``logits``; None if there are none."""
    if isinstance(output, Tensor):
        return output if output.ndim else None
    if isinstance(output, Mapping):
        return output.get("logits")
    return getattr(output, "logits", None)


def _read_from_batch(what: str, batch: Any, where: str | int | Callable[[Any], Any]) -> Any:
    if callable(where):
        return where(batch)
    try:
        return batch[where]
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"the batch ({_describe(batch)}) has no {where!r}, where the {what} should be"
        ) from error


def _is_sequence(batch: Any) -> bool:
    return isinstance(batch, Sequence) and not isinstance(batch, str)


def _describe(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"keys {', '.join(map(str, batch))}"
    name = type(batch).__name__
    return f"a {name} of {len(batch)}" if _is_sequence(batch) else f"a {name}"

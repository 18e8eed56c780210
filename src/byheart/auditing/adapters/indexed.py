"""A data set whose samples say which example they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from byheart.errors import InputError

ID = "id"
"""Under which key a sample or a batch that is a dict carries its id."""


class IndexedDataset(Dataset[Any]):
    """Wraps a map-style data set, so that every sample carries its id: its index in that data set.

    A tuple or list gains the id as its last member, ``(x, y)`` becomes ``(x, y, id)``; a dict gains
    it under ``"id"``; anything else becomes a pair with its id. Samples are batched, shuffled,
    split (``Subset``, ``random_split``) and loaded by workers as before.

    Wrap the whole training set, and split afterwards: a subset of an ``IndexedDataset`` keeps the
    ids of the whole. An ``IndexedDataset`` of a subset counts from 0 within the subset.

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
        mapped = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not mapped or isinstance(dataset, IterableDataset | Mapping):
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
    """Return a sample that carries an id; the one that was given stays as it is.

    Raises:
        InputError: it is a named tuple, or a dict that has another id already.
    """
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

"""Batches of two members that know which rows they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torch.utils.data.dataloader import default_collate


class RowBatch(tuple[Any, ...]):
    """A batch ``(x, y)`` as ever, with the ids of its examples beside it.

    Attributes:
        ids: int64 [B].
    """

    ids: Tensor

    @classmethod
    def of(cls, batch: Iterable[Any], ids: Tensor) -> RowBatch:
        """Return a batch with ids."""
        made = cls(batch)
        made.ids = ids
        return made


class RowLoader(DataLoader[Any]):
    """A ``DataLoader`` whose batches know their rows: for ``NeuralNet(iterator_train=RowLoader)``.

    Batches have the same members as those of a ``DataLoader``. An id is a row of the data that the
    net was given, also where a part of it was set aside for validation.

    Args:
        dataset: map-style; of a ``Subset``, rows are counted in the whole.
        options: those of a ``DataLoader``.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:
        collate = _Collate(options.pop("collate_fn", None) or default_collate)
        super().__init__(_Rows(dataset), collate_fn=collate, **options)


class _Rows(Dataset[tuple[Any, int]]):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        sample, dataset = self.dataset[index], self.dataset
        while isinstance(dataset, Subset):
            index, dataset = dataset.indices[index], dataset.dataset
        return sample, int(index)


class _Collate:
    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, pairs: list[tuple[Any, int]]) -> RowBatch:
        samples, ids = zip(*pairs, strict=True)
        return RowBatch.of(self.collate(list(samples)), torch.tensor(ids))

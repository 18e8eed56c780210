"""Add example ids to a data set, and find ids, labels and logits in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from byheart.auditing import planting
from byheart.auditing.planting import Planted
from byheart.data.dataset import Dataset as Examples
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

    With ``plant``, some samples get a wrong label on purpose, the same in every epoch: train on
    these, and give this data set to :meth:`byheart.Audit.from_tracker`. How the planted labels rank
    bounds the number of wrong labels; see :func:`byheart.plant`. The label is the last member of a
    tuple or list, or what a dict has under ``label``, ``labels``, ``target``, ``targets`` or ``y``.
    byheart reads all labels once: from the tensors of a ``TensorDataset``, from the columns of a
    ``datasets.Dataset``, else sample by sample.

    Args:
        dataset: has ``__getitem__`` and ``__len__``; or what :func:`byheart.load_dataset` returns.
        plant: share of the samples that get a wrong label, at most 0.3; or labels that
            :func:`byheart.plant` returned.
        seed: seed of the draw.

    Attributes:
        dataset: the data set without ids, with its own labels.
        examples: what :func:`byheart.load_dataset` returned, if that was given.
        planted: the labels to train on, and which were changed; None if none were.

    Raises:
        InputError: the data set has no indices, a sample cannot take an id, or the labels that are
            to be planted cannot be read.

    Example:
        >>> data = IndexedDataset([([0.5], 1), ([0.25], 0)])
        >>> data[1]
        ([0.25], 0, 1)
        >>> IndexedDataset([{"x": 0.5, "label": 1}])[-1]
        {'x': 0.5, 'label': 1, 'id': 0}
    """

    def __init__(self, dataset: Any, plant: float | Planted = 0.0, seed: int = 0) -> None:
        self.examples = dataset if isinstance(dataset, Examples) else None
        if isinstance(dataset, Examples):
            dataset = TensorDataset(dataset.x, dataset.y)
        is_map_style = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not is_map_style or isinstance(dataset, IterableDataset | Mapping):
            raise InputError(
                f"{type(dataset).__name__} has no indices: IndexedDataset needs a map-style data "
                "set, with __getitem__ and __len__"
            )
        self.dataset = dataset
        self.planted = _planted(dataset, plant, seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Return a sample with its id; indices below 0 count from the end."""
        return self._sample(self.dataset[index], index)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several samples at once, as a DataLoader asks for where a data set can do so."""
        at_once = getattr(self.dataset, "__getitems__", None)
        samples = at_once(indices) if at_once else [self.dataset[index] for index in indices]
        return [self._sample(s, index) for s, index in zip(samples, indices, strict=True)]

    def _sample(self, sample: Any, index: int) -> Any:
        number = int(index) if index >= 0 else int(index) + len(self)
        if self.planted is not None and self._is_planted[number]:
            sample = with_label(sample, self.planted.labels[number], number)
        return with_id(sample, number)

    @cached_property
    def _is_planted(self) -> NDArray[np.bool_]:
        return np.isin(np.arange(len(self)), [] if self.planted is None else self.planted.ids)


def _planted(dataset: Any, plant: float | Planted, seed: int) -> Planted | None:
    """Return the labels to train on, or None if nothing is planted."""
    if not isinstance(plant, Planted):
        return planting.plant(targets_of(dataset), plant, seed=seed) if plant else None
    if len(plant.labels) != len(dataset):
        raise InputError(
            f"{len(plant.labels)} labels were planted, and the data set has {len(dataset)} samples"
        )
    return plant


def targets_of(dataset: Any) -> NDArray[Any]:
    """Return the labels [N] of a data set, or its targets [N, ...], as its samples have them."""
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1:
        return np.asarray(dataset.tensors[-1].numpy(force=True))
    columns = getattr(dataset, "column_names", None) or ()
    if isinstance(columns, Sequence) and (key := _label_key(columns)) is not None:
        targets = list(dataset[key])
    else:
        targets = [target_of(dataset[index], index) for index in range(len(dataset))]
    try:
        return np.asarray([np.asarray(target) for target in targets])
    except ValueError:
        raise InputError(
            "labels cannot be planted where samples have different numbers of them: plant them "
            "yourself, by byheart.plant(labels)"
        ) from None


def target_of(sample: Any, number: int) -> Any:
    """Return the label of a sample: the last member of a tuple or list, or that of a dict."""
    key = _label_key(sample) if isinstance(sample, Mapping) else -1
    is_pair = _is_sequence(sample) and len(sample) > 1
    if key is None or not (is_pair or isinstance(sample, Mapping)):
        raise InputError(
            f"sample {number} ({_describe(sample)}) has no label in a usual place: plant labels "
            "yourself, by byheart.plant(labels)"
        )
    return sample[key]


def with_label(sample: Any, label: Any, number: int) -> Any:
    """Return a copy of a sample with another label, of the type that its label has."""
    old = target_of(sample, number)
    if isinstance(old, Tensor):
        new: Any = torch.as_tensor(label, dtype=old.dtype).reshape(old.shape)
    elif isinstance(old, np.ndarray | np.generic):
        array = np.asarray(label, old.dtype).reshape(np.shape(old))
        new = array if isinstance(old, np.ndarray) else array[()]
    else:
        new = label.tolist()
    if isinstance(sample, Mapping):
        return {**sample, str(_label_key(sample)): new}
    return [*sample[:-1], new] if isinstance(sample, list) else (*sample[:-1], new)


def _label_key(keys: Iterable[Any]) -> str | None:
    present = set(keys)
    return next((key for key in LABELS if key in present), None)


def with_id(sample: Any, number: int) -> Any:
    """Return a copy of a sample with an id; refuse a named tuple, and a dict with another id."""
    if isinstance(sample, Mapping):
        if isinstance(sample.get(ID), str):
            raise InputError(
                f"sample {number} has the {ID} {sample[ID]!r}, a text, and ids are whole numbers "
                "from 0: rename that column"
            )
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
        where = _label_key(batch)
    elif where is None and _is_sequence(batch) and len(batch) >= 3:
        where = -2
    if where is None:
        raise InputError(
            f"the batch ({_describe(batch)}) has no labels in a usual place: say where they are: "
            "TrackerCallback(..., labels=...)"
        )
    return _read_from_batch("labels", batch, where)


def logits_of(output: Any) -> Any:
    """Return the logits: the output, its member ``logits``, or the first [B, ...] of a tuple."""
    if isinstance(output, Tensor):
        return output if output.ndim else None
    if isinstance(output, tuple | list) and not hasattr(output, "logits"):
        return next((o for o in output if isinstance(o, Tensor) and o.ndim), None)
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

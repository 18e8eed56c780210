"""What a loop gives a tracker, as arrays: ids, labels, logits, and losses per example."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.errors import InputError

IGNORED = -100
"""Label that torch's losses ignore."""
Ids = NDArray[np.int64]


def whole_numbers(name: str, values: object) -> Ids:
    """Return ids or labels as int64 [B]; refuse what is not whole numbers in one dimension."""
    array = _on_cpu(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        hint = ""
        if array.dtype.kind in "OSU" and array.size:
            hint = ": number the examples from 0, as byheart.IndexedDataset does"
        raise InputError(
            f"{name} must be whole numbers [B], got {_kind(array)} {list(array.shape)}{hint}"
        )
    return array.astype(np.int64)


def real_numbers(values: object) -> NDArray[np.float32]:
    """Return logits as float32 [B, classes]; refuse other shapes, and fewer than two classes."""
    array = _on_cpu(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.shape[1] < 2:
        raise InputError(
            "logits must be numbers [B, classes] with two classes or more, got "
            f"{array.dtype} {list(array.shape)}; for one output z, give [0, z]"
        )
    if array.dtype == np.float32:
        return array.copy()
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def of_tokens(ids: object, logits: object, labels: object) -> tuple[Any, Any, Any]:
    """Return ids [B * T], logits [B * T, classes] and labels [B * T] of the tokens of a batch.

    Args:
        ids: [B, T] one for each token.
        logits: [B, T, classes].
        labels: [B, T].
    """
    i, z, y = (_on_cpu(values) for values in (ids, logits, labels))
    if i.shape != y.shape:
        raise InputError(
            f"labels {list(y.shape)} need an id for each token, got ids {list(i.shape)}: give "
            "ids[:, None] * T + torch.arange(T), or one loss per example: update(ids, loss=...)"
        )
    if z.shape[:-1] != y.shape:
        raise InputError(
            f"logits must be [{', '.join(map(str, y.shape))}, classes], got {list(z.shape)}"
        )
    return i.reshape(-1), z.reshape(-1, z.shape[-1]), y.reshape(-1)


class Losses(NamedTuple):
    """Losses [n] of examples, by their ids [n]."""

    ids: Ids
    loss: NDArray[np.float32]


def losses_of(ids: object, loss: object, labels: object = None) -> Losses:
    """Return one loss per example; see :meth:`byheart.Tracker.update` for the shapes."""
    i: NDArray[Any] = _on_cpu(ids)
    values: NDArray[Any] = _on_cpu(loss)
    if values.dtype.kind not in "fiu" or not values.ndim:
        raise InputError(
            f"loss must be numbers, one per example [B], got {values.dtype} {list(values.shape)}: "
            "compute it with reduction='none'"
        )
    if values.shape[: i.ndim] != i.shape:
        raise InputError(
            f"ids and loss must be of equally many examples, got {list(i.shape)} and "
            f"{list(values.shape)}"
        )
    counts: NDArray[np.bool_] = np.ones(values.shape, bool)
    if labels is not None:
        y = _on_cpu(labels)
        if y.shape != values.shape:
            raise InputError(
                f"with a loss, labels say which parts of it to ignore: they must be "
                f"{list(values.shape)}, got {list(y.shape)}"
            )
        counts = y != IGNORED
    if i.ndim > 1:
        i, values, counts = i.reshape(-1), values.reshape(i.size, -1), counts.reshape(i.size, -1)
    numbers = whole_numbers("ids", i)
    if not values.size:
        return Losses(numbers[:0], np.zeros(0, np.float32))
    values, counts = values.reshape(len(i), -1), counts.reshape(len(i), -1)
    parts = counts.sum(1)
    known = parts > 0
    sums = np.where(counts, values, 0).sum(1, dtype=np.float64)[known]
    with np.errstate(over="ignore"):
        return Losses(numbers[known], (sums / parts[known]).astype(np.float32))


def _on_cpu(values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        if values.dtype == torch.bfloat16:
            values = values.float()
        array: NDArray[Any] = values.numpy(force=True)
        return array
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"ids, logits and labels must be arrays or tensors: {error}") from error


def _kind(array: NDArray[Any]) -> str:
    return "text" if array.dtype.kind in "SU" else str(array.dtype)

"""What a training hands over, as arrays; refused with one line if it is not ids, logits, labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.errors import InputError

_INT64, _FLOAT32 = np.dtype(np.int64), np.dtype(np.float32)


Batch = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""Ids int64 [B], logits float32 [B, classes] and labels int64 [B]."""


def arrays(ids: object, logits: object, labels: object) -> Batch:
    """Return a batch as arrays.

    Most batches are tensors of the right kind on the CPU. Those take a way without further calls:
    right after a training step, when all this is out of the processor's caches, calls are what
    tracking costs.

    Raises:
        InputError: see :func:`whole_numbers` and :func:`real_numbers`.
    """
    if isinstance(ids, Tensor) and isinstance(logits, Tensor) and isinstance(labels, Tensor):
        try:
            i, z, y = ids.numpy(), logits.detach().numpy(), labels.numpy()
        except (RuntimeError, TypeError):
            # On another device, or of a kind that numpy does not have.
            pass
        else:
            numbers = i.dtype == _INT64 == y.dtype and z.dtype == _FLOAT32
            if numbers and i.ndim == 1 == y.ndim and z.ndim == 2 and z.shape[1] > 1:
                return i, z, y
    return whole_numbers("ids", ids), real_numbers(logits), whole_numbers("labels", labels)


def whole_numbers(name: str, values: object) -> NDArray[np.int64]:
    """Return ids or labels as int64 [B].

    Raises:
        InputError: they are not whole numbers in one dimension.
    """
    array = _on_cpu(values)
    if array.dtype == np.int64 and array.ndim == 1:
        return array
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InputError(f"{name} must be whole numbers [B], got {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)


def real_numbers(values: object) -> NDArray[np.float32]:
    """Return logits as float32 [B, classes].

    Raises:
        InputError: they are not numbers in two dimensions, with two classes or more.
    """
    if isinstance(values, Tensor) and values.dtype == torch.bfloat16:
        values = values.float()
    array = _on_cpu(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.shape[1] < 2:
        raise InputError(
            "logits must be numbers [B, classes] with two classes or more, got "
            f"{array.dtype} {list(array.shape)}; for one output z, give [0, z]"
        )
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _on_cpu(values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        array: NDArray[Any] = values.numpy(force=True)
        return array
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"ids, logits and labels must be arrays or tensors: {error}") from error

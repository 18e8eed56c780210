"""A batch that a training hands over: checked arrays, and what the tracker keeps of the logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.errors import InputError

HALF = np.finfo(np.float16)


def whole_numbers(name: str, values: object) -> NDArray[np.int64]:
    """Return ids or labels as int64 [B].

    Raises:
        InputError: they are not whole numbers in one dimension.
    """
    array = _on_cpu(values)
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
        return array.copy()
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


class Observed(NamedTuple):
    """What the logits of B examples say of their labels.

    Attributes:
        margin: float32 [B] logit of the label minus the largest other logit: above 0 exactly where
            the network predicts the label. A tie is no prediction, and is 0.
        loss: float32 [B] cross-entropy in nats.
        alternative: int32 [B] the likeliest class besides the label; the last of equal ones.
        probability: float32 [B] the probability of that class.
    """

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    alternative: NDArray[np.int32]
    probability: NDArray[np.float32]


def observe(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Observed:
    r"""Reduce logits to what a history keeps.

    Formula: with z the logits of an example, y its label and d = log sum_{k != y} exp(z_k) - z_y,

        margin = z_y - max_{k != y} z_k,         loss = log(1 + exp(d)),
        alternative = argmax_{k != y} z_k,       probability = exp(-margin - loss).

    Written with d, the loss is exact to rounding at both ends: a loss of 1e-12 is not the
    difference of two numbers near 10.

    Args:
        logits: [B, classes], finite, at least two classes.
        labels: [B] from 0 to classes - 1.
    """
    rows = np.arange(len(labels))
    # Classes first: numpy then reduces over classes for all rows at once.
    others = np.array(logits.T, order="C")
    of_label = others[labels, rows]
    others[labels, rows] = -np.inf
    top = others.max(axis=0)
    classes = np.arange(len(others), dtype=np.int32)[:, None]
    alternative = np.where(others == top, classes, np.int32(-1)).max(axis=0)
    margin = of_label - top
    others -= top
    np.exp(others, out=others)
    d = np.log(others.sum(axis=0)) - margin
    loss = np.maximum(d, 0) + np.log1p(np.exp(-np.abs(d)))
    return Observed(margin, loss, alternative, np.exp(-margin - loss))


def halved(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to float16 without losing a sign or a finite number.

    Values that are too large become the largest float16 (65504). Values that would round to 0
    become the smallest one that is not 0: the sign of a margin says whether the network was right.
    NaN stays NaN.
    """
    half = np.clip(values, HALF.min, HALF.max).astype(np.float16)
    lost = (half == 0) & (values != 0)
    half[lost] = np.copysign(HALF.smallest_subnormal, values[lost])
    return half

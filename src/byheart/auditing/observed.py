"""What is kept of the logits that a network gave an example: three numbers and a rival class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HALF = np.finfo(np.float16)


class Observed(NamedTuple):
    """Of each of B examples, what its logits say of its label.

    Attributes:
        margin: float32 [B] logit of the label minus the largest other logit: above 0 exactly where
            the network classifies as labelled; a tie is no classification, and is 0.
        loss: float32 [B] cross-entropy in nats.
        rival: int32 [B] the likeliest class that is not the label; the last of equal ones.
        weight: float32 [B] the probability of that class.
    """

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    rival: NDArray[np.int32]
    weight: NDArray[np.float32]


def observe(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Observed:
    r"""Reduce logits to what a history keeps.

    Formula: with z the logits of an example, y its label and d = log sum_{k != y} exp(z_k) - z_y,

        margin = z_y - max_{k != y} z_k,    loss = log(1 + exp(d)),
        rival = argmax_{k != y} z_k,        weight = exp(-margin - loss).

    Written with d, the loss is exact to rounding at both ends: a loss of 1e-12 does not come out as
    the difference of two numbers near 10.

    Args:
        logits: [B, classes], finite, at least two classes.
        labels: [B] from 0 to classes - 1.
    """
    rows = np.arange(len(labels))
    # Classes first: what runs along the short axis of a matrix is then done for all rows at once.
    others = np.array(logits.T, order="C")
    own = others[labels, rows]
    others[labels, rows] = -np.inf
    top = others.max(axis=0)
    classes = np.arange(len(others), dtype=np.int32)[:, None]
    rival = np.where(others == top, classes, np.int32(-1)).max(axis=0)
    margin = own - top
    others -= top
    np.exp(others, out=others)
    d = np.log(others.sum(axis=0)) - margin
    loss = np.maximum(d, 0) + np.log1p(np.exp(-np.abs(d)))
    return Observed(margin, loss, rival, np.exp(-margin - loss))


def halved(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to float16 without losing a sign or a finite number.

    What is too large becomes the largest number there is (65504), and what would round to 0 the
    smallest that is not 0: the sign of a margin says whether the network was right. NaN stays NaN.
    """
    half = np.clip(values, HALF.min, HALF.max).astype(np.float16)
    lost = (half == 0) & (values != 0)
    half[lost] = np.copysign(HALF.smallest_subnormal, values[lost])
    return half

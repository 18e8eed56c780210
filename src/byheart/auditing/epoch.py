"""The epoch in training: what logits say of labels, and sums over all views of an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from byheart.errors import InputError

HALF = np.finfo(np.float16)
UNKNOWN = -(2**62) - 1
"""The label of an example that was not seen yet; no user marks a missing label so."""


class Observed(NamedTuple):
    """What the logits of B examples say of their labels, [B] each; the loss is in nats.

    The margin is the logit of the label minus the largest other: above 0 exactly where the network
    predicts the label, and 0 for a tie. The alternative is the likeliest class besides the label,
    the last of equal ones, and the probability is its.
    """

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    alternative: NDArray[np.int32]
    probability: NDArray[np.float32]


def observe(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Observed:
    """Reduce finite logits [B, classes] to what a history keeps.

    Formula: with z the logits of an example, y its label and d = log sum_{k != y} exp(z_k) - z_y,

        margin = z_y - max_{k != y} z_k,         loss = log(1 + exp(d)),
        alternative = argmax_{k != y} z_k,       probability = exp(-margin - loss).

    Written with d, the loss is exact to rounding at both ends: a loss of 1e-12 is not the
    difference of two numbers near 10.
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
    """Round to float16 without losing a sign or a finite number; NaN stays NaN.

    Values that are too large become the largest float16 (65504). Values that would round to 0
    become the smallest one that is not 0: the sign of a margin says whether the network was right.
    """
    half = np.clip(values, HALF.min, HALF.max).astype(np.float16)
    lost = (half == 0) & (values != 0)
    half[lost] = np.copysign(HALF.smallest_subnormal, values[lost])
    return half


@dataclass(frozen=True)
class RunningEpoch:
    """Sums over the views of each example [N], in any order, from one process or many.

    The rival is the likeliest class besides the label, of all views, and the weight its largest
    probability. ``not_finite`` [1] counts views that were left out, since numbers were not finite.
    """

    count: NDArray[np.int32]
    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    rival: NDArray[np.int32]
    weight: NDArray[np.float32]
    not_finite: NDArray[np.int64]

    @classmethod
    def empty(cls, examples: int) -> RunningEpoch:
        """Return an epoch in which nothing was seen yet."""
        whole, real = np.zeros(examples, np.int32), np.zeros(examples, np.float32)
        none = np.zeros(1, np.int64)
        return cls(whole, real, real.copy(), whole.copy(), real.copy(), none)

    def clear(self) -> None:
        """Forget all views, in place."""
        for field in fields(self):
            getattr(self, field.name).fill(0)

    def add(self, ids: NDArray[np.int64], seen: Observed) -> None:
        """Add views of examples, in place; an example may have several."""
        np.add.at(self.count, ids, np.int32(1))
        np.add.at(self.margin, ids, seen.margin)
        np.add.at(self.loss, ids, seen.loss)
        np.maximum.at(self.weight, ids, seen.probability)
        likeliest = seen.probability == self.weight[ids]
        self.rival[ids[likeliest]] = seen.alternative[likeliest]

    def add_losses(self, ids: NDArray[np.int64], loss: NDArray[np.float32]) -> None:
        """Add losses of examples without margins, in place."""
        np.add.at(self.count, ids, np.int32(1))
        np.add.at(self.loss, ids, loss)

    def means(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean margin and loss [N] over the views; NaN where an example was not seen."""
        count = self.count.astype(np.float32)
        count[self.count == 0] = np.nan
        return self.margin / count, self.loss / count

    def combine(self, labels: NDArray[np.int64]) -> None:
        """Sum over the processes of a distributed training, in place; no effect in one process.

        Every process gets the sums of all, and the labels [N] that any of them knows. Raises
        :class:`byheart.errors.InputError` if two processes gave an example different labels.
        """
        if not is_distributed():
            return
        known = _reduced(labels, distributed.ReduceOp.MAX)
        lowest = _reduced(np.where(labels == UNKNOWN, known, labels), distributed.ReduceOp.MIN)
        if (lowest != known).any():
            example = int(np.flatnonzero(lowest != known)[0])
            raise InputError(
                f"example {example} has label {lowest[example]} in one process and "
                f"{known[example]} in another: an id must name the same example everywhere"
            )
        labels[:] = known
        for sums in (self.count, self.margin, self.loss, self.not_finite):
            sums[:] = _reduced(sums, distributed.ReduceOp.SUM)
        weight = _reduced(self.weight, distributed.ReduceOp.MAX)
        mine = np.where(self.weight == weight, self.rival, 0).astype(np.int32)
        self.rival[:] = _reduced(mine, distributed.ReduceOp.MAX)
        self.weight[:] = weight

    def state(self) -> dict[str, Tensor]:
        """Return copies as tensors."""
        return {f.name: torch.from_numpy(getattr(self, f.name).copy()) for f in fields(self)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        self.clear()
        for name, values in state.items():
            getattr(self, name)[:] = values.numpy()


def is_distributed() -> bool:
    """Return whether several processes train together."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and (distributed.get_world_size() > 1)
    )


def rank() -> int:
    """Return the number of this process in a distributed training; 0 in one alone."""
    return distributed.get_rank() if is_distributed() else 0


def _reduced(values: NDArray[Any], how: distributed.ReduceOp.RedOpType) -> NDArray[Any]:
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.from_numpy(values.copy()).to(device)
    distributed.all_reduce(tensor, how)
    return np.asarray(tensor.cpu().numpy())

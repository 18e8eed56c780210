"""The epoch in training: sums over the views of each example, from one process or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from byheart.auditing.batches import Observed
from byheart.errors import InputError

UNKNOWN = -(2**62) - 1
"""The label of an example that was not seen yet; no user marks a missing label so."""


class Means(NamedTuple):
    """An epoch that ended: margin and loss float32 [N], NaN where an example was not seen."""

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]


@dataclass(frozen=True)
class RunningEpoch:
    """Sums over the views of each example, in any order, from one process or many.

    Attributes:
        count: int32 [N] how often it was seen.
        margin: float32 [N] sum of margins.
        loss: float32 [N] sum of losses.
        rival: int32 [N] the likeliest class besides the label, of all views.
        weight: float32 [N] its largest probability.
    """

    count: NDArray[np.int32]
    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    rival: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def empty(cls, examples: int) -> RunningEpoch:
        """Return an epoch in which nothing was seen yet."""
        return cls(
            np.zeros(examples, np.int32),
            np.zeros(examples, np.float32),
            np.zeros(examples, np.float32),
            np.zeros(examples, np.int32),
            np.zeros(examples, np.float32),
        )

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

    def means(self) -> Means:
        """Return the mean over the views of every example."""
        count = self.count.astype(np.float32)
        count[self.count == 0] = np.nan
        return Means(self.margin / count, self.loss / count)

    def combine(self, labels: NDArray[np.int64]) -> None:
        """Sum over the processes of a distributed training, in place; no effect in one process.

        Every process gets the sums of all, and the labels that any of them knows.

        Args:
            labels: int64 [N] known to this process; changed in place.

        Raises:
            InputError: two processes gave an example different labels.
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
        for sums in (self.count, self.margin, self.loss):
            sums[:] = _reduced(sums, distributed.ReduceOp.SUM)
        weight = _reduced(self.weight, distributed.ReduceOp.MAX)
        mine = np.where(self.weight == weight, self.rival, 0).astype(np.int32)
        self.rival[:] = _reduced(mine, distributed.ReduceOp.MAX)
        self.weight[:] = weight

    def state(self) -> dict[str, Tensor]:
        """Return copies as tensors."""
        return {f.name: torch.from_numpy(getattr(self, f.name).copy()) for f in fields(self)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave, in place."""
        for field in fields(self):
            getattr(self, field.name)[:] = state[field.name].numpy()


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

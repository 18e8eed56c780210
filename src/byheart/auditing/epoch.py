"""The epoch that is being trained: a running mean per example, over however often it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from byheart.auditing.observed import Observed
from byheart.errors import InputError

UNKNOWN = -(2**62) - 1
"""Stands for the label of an example that has not been seen, and is nobody's mark for none."""


class Means(NamedTuple):
    """An epoch that ended: margin and loss float32 [N], NaN where unseen; rival and weight."""

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    rival: NDArray[np.int32]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class RunningEpoch:
    """Sums over the views of each example, in any order, from one process or many.

    Attributes:
        count: int32 [N] how often it was seen.
        margin: float32 [N] sum of margins.
        loss: float32 [N] sum of losses.
        rival: int32 [N] the class of the largest probability besides the label, of all views.
        weight: float32 [N] that probability.
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
        """Begin anew, in place."""
        for one in fields(self):
            getattr(self, one.name).fill(0)

    def add(self, ids: NDArray[np.int64], seen: Observed) -> None:
        """Count views of examples, of which some may be the same, in place."""
        np.add.at(self.count, ids, np.int32(1))
        np.add.at(self.margin, ids, seen.margin)
        np.add.at(self.loss, ids, seen.loss)
        np.maximum.at(self.weight, ids, seen.weight)
        strongest = seen.weight == self.weight[ids]
        self.rival[ids[strongest]] = seen.rival[strongest]

    def means(self) -> Means:
        """Return the mean over the views of every example."""
        count = self.count.astype(np.float32)
        count[self.count == 0] = np.nan
        return Means(self.margin / count, self.loss / count, self.rival, self.weight)

    def combine(self, labels: NDArray[np.int64]) -> None:
        """Put together what the processes of a distributed training saw; does nothing in one alone.

        Every process ends up with the sums of all, and with the labels that any of them knows.

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
        for one in fields(self):
            getattr(self, one.name)[:] = state[one.name].numpy()


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

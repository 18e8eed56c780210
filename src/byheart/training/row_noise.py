"""Random numbers for the examples of an epoch, drawn for each replica on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from byheart.seeds import generator

BLOCK = 2**18
"""About how many numbers all replicas together draw at once: they should stay in the cache."""


class RowNoise:
    """One row of random numbers for every example of an epoch, in the order of training.

    The rows of a replica depend on its seed, the epoch and the purpose alone: not on the pack it
    sits in, nor on how the epoch is cut into batches or the draws into blocks. They are drawn in
    float32 on the CPU, whatever the network computes in and wherever.

    Args:
        seeds: one per replica.
        purpose: what the numbers are for; a purpose of its own gives numbers of its own.
        draw: "uniform" on [0, 1) or standard "normal".
        width: numbers per row.
        shape: applied to every block [R, rows, width] before it is used.
        like: gives the type and device of the rows.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        purpose: str,
        draw: Literal["uniform", "normal"],
        width: int,
        shape: Callable[[Tensor], Tensor],
        like: Tensor,
    ) -> None:
        self._seeds = list(seeds)
        self._purpose = purpose
        self._draw = draw
        self._width = width
        self._shape = shape
        self._like = like
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Begin the rows of an epoch, counted from 0."""
        self._generators = [generator(self._purpose, seed, epoch) for seed in self._seeds]
        self._rows = self._like.new_empty(len(self._seeds), 0, self._width)

    def take(self, count: int) -> Tensor:
        """Return the next rows, [R, count, width]."""
        missing = count - self._rows.shape[1]
        if missing > 0:
            fresh = self._fresh(missing, count)
            self._rows = torch.cat((self._rows, fresh), 1) if self._rows.shape[1] else fresh
        rows, self._rows = self._rows[:, :count], self._rows[:, count:]
        return rows

    def _fresh(self, missing: int, batch: int) -> Tensor:
        replicas = len(self._generators)
        batches = max(1, BLOCK // (replicas * self._width * batch))
        block = np.empty((replicas, missing + (batches - 1) * batch, self._width), dtype=np.float32)
        for rng, own in zip(self._generators, block, strict=True):
            if self._draw == "uniform":
                rng.random(out=own, dtype=np.float32)
            else:
                rng.standard_normal(out=own, dtype=np.float32)
        numbers = torch.from_numpy(block).to(device=self._like.device, dtype=self._like.dtype)
        return self._shape(numbers)

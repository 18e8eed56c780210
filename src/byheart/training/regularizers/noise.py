"""Dropout and Gaussian noise, on inputs and on hidden units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from byheart.networks.base import PackNetwork
from byheart.seeds import generator
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer, Snippet

BLOCK = 2**18
"""About how many numbers all replicas together draw at once: they should stay in the cache."""


class RowNoise:
    """One row of random numbers for every example of an epoch, in the order of training.

    The rows of a replica depend on its seed, the epoch and the purpose alone. The other replicas of
    the pack, the size of batches and that of blocks change nothing. Numbers are drawn in float32 on
    the CPU, whatever the type and device of the network.

    Args:
        seeds: one per replica.
        purpose: use of the numbers; each purpose has its own numbers.
        draw: "uniform" on [0, 1) or standard "normal".
        width: numbers per row.
        like: gives the type and device of the rows.
        transform: applied to every block [R, rows, width] before it is used.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        purpose: str,
        draw: Literal["uniform", "normal"],
        width: int,
        like: Tensor,
        transform: Callable[[Tensor], Tensor] = lambda block: block,
    ) -> None:
        self._seeds = list(seeds)
        self._purpose = purpose
        self._draw = draw
        self._width = width
        self._like = like
        self._transform = transform
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
        for rng, rows in zip(self._generators, block, strict=True):
            if self._draw == "uniform":
                rng.random(out=rows, dtype=np.float32)
            else:
                rng.standard_normal(out=rows, dtype=np.float32)
        numbers = torch.from_numpy(block).to(device=self._like.device, dtype=self._like.dtype)
        return self._transform(numbers)


class _Gaussian(Regularizer):
    """Draws noise of standard deviation sigma."""

    symbol = "sigma"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        width = task.hidden if self.changes_hidden else math.prod(task.shape)
        sigma = self.per_replica(3)
        self.noise = RowNoise(seeds, self.name, "normal", width, like, lambda z: z.mul_(sigma))

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.noise.start_epoch(epoch)


class _Dropout(Regularizer):
    """Draws masks m / (1 - p) with m ~ Bernoulli(1 - p)."""

    symbol = "p"
    strengths_to_try = (0.1, 0.25, 0.5, 0.75)
    """A17 Figure 10 goes from 0 to 0.9."""

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        width = task.hidden if self.changes_hidden else math.prod(task.shape)
        rate = self.per_replica(3)
        kept = torch.tensor([1 / (1 - p) for p in strengths], dtype=like.dtype)
        scale = kept.to(like.device).view(-1, 1, 1)

        def mask(u: Tensor) -> Tensor:
            return (u >= rate).to(u.dtype).mul_(scale)

        self.masks = RowNoise(seeds, self.name, "uniform", width, like, mask)

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.masks.start_epoch(epoch)


class InputNoise(_Gaussian):
    r"""Gaussian noise on inputs, with standard deviation sigma on the scale [0, 1].

    Formula: x <- x + sigma e, e ~ N(0, 1) for every coordinate, example, epoch and replica.

    Source: Sietsma & Dow (1991); Bishop (1995); A17 Figure 10.
    """

    name = "input noise"
    strengths_to_try = (0.1, 0.25, 0.5, 1.0)
    """A17 Figure 10 goes from 0 to 5."""

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(batch=f"x = x + {strength:g} * torch.randn_like(x)")

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with noise on its inputs."""
        return replace(batch, x=batch.x + self.noise.take(batch.x.shape[1]))


class InputDropout(_Dropout):
    r"""Dropout on inputs, at rate p.

    Formula: x <- m x / (1 - p) with m ~ Bernoulli(1 - p) for every coordinate.

    Source: Srivastava et al. (2014); A17 Figure 10.
    """

    name = "input dropout"

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(batch=f"x = functional.dropout(x, {strength:g})")

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with coordinates set to zero."""
        return replace(batch, x=batch.x * self.masks.take(batch.x.shape[1]))


class HiddenNoise(_Gaussian):
    r"""Gaussian noise after every activation layer, with standard deviation sigma.

    Formula: h <- h + sigma e, e ~ N(0, 1) for every unit, example, epoch and replica.

    Source: Poole, Sohl-Dickstein & Ganguli (2014); A17 Figure 10.
    """

    name = "hidden noise"
    changes_hidden = True
    strengths_to_try = (0.03, 0.1, 0.3, 1.0)
    """A17 Figure 10 goes from 0 to 0.3."""

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(hidden=f"h + {strength:g} * torch.randn_like(h) if model.training else h")

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with noise for its hidden units."""
        return replace(batch, shift=self.noise.take(batch.x.shape[1]))


class Dropout(_Dropout):
    r"""Dropout after every activation layer, at rate p.

    Formula: h <- m h / (1 - p) with m ~ Bernoulli(1 - p) for every unit, example and replica.

    Source: Srivastava et al. (2014); A17 Figure 10.
    """

    name = "dropout"
    changes_hidden = True

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(hidden=f"functional.dropout(h, {strength:g}, model.training)")

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with masks for its hidden units."""
        return replace(batch, scale=self.masks.take(batch.x.shape[1]))

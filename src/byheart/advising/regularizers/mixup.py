"""Mixup."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.networks.vmapped import ForeignPack
from byheart.seeds import generator
from byheart.training.step import Batch


class Mixup(Regularizer):
    r"""Each example is mixed with another of its batch, and so are their targets.

    Formula: x <- l x + (1 - l) x', t <- l t + (1 - l) t', with (x', t') the batch in another order
    and l ~ Beta(alpha, alpha), one number for the batch as in the authors' code.

    Source: Zhang, Cisse, Dauphin & Lopez-Paz (2018), section 2 and their ``train.py``.
    """

    name = "mixup"
    symbol = "alpha"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, facts, like)
        self._seeds = list(seeds)
        self._alphas = list(strengths)
        self.start_epoch(0)

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the alphas to try; the authors take 0.1 to 0.4, and up to 32 for wrong labels."""
        return (0.2, 1.0, 4.0, 16.0)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        batch = f"""
        share = torch.distributions.Beta({strength:g}, {strength:g}).sample()
        other = torch.randperm(len(x))
        mixed = model(share * x + (1 - share) * x[other])
        """
        of = "functional.cross_entropy"
        loss = f"share * {of}(mixed, y) + (1 - share) * {of}(mixed, y[other])"
        return Snippet(batch=batch, loss=loss)

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self._generators = [generator(self.name, seed, epoch) for seed in self._seeds]

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Return the mixed batch."""
        size = batch.x.shape[1]
        orders = torch.from_numpy(np.stack([rng.permutation(size) for rng in self._generators]))
        drawn = [
            float(rng.beta(alpha, alpha))
            for rng, alpha in zip(self._generators, self._alphas, strict=True)
        ]
        share = batch.x.new_tensor(drawn).view(-1, 1, 1)
        rows = torch.arange(len(orders)).unsqueeze(1)
        x = share * batch.x + (1 - share) * batch.x[rows, orders]
        targets = batch.probabilities(self.classes)
        mixed = share * targets + (1 - share) * targets[rows, orders]
        return Batch(batch.rows, x, batch.y, mixed)

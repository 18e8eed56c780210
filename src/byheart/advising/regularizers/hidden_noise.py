"""Dropout and Gaussian noise on hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.networks.hidden import SCALE, SHIFT
from byheart.networks.vmapped import ForeignPack
from byheart.training.row_noise import RowNoise
from byheart.training.step import Batch


class _Hidden(Regularizer):
    """Draws one row of random numbers per example, for all hidden units."""

    reaches_in = True
    draw: ClassVar[Literal["uniform", "normal"]]

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, facts, like)
        self.noise = RowNoise(seeds, self.name, self.draw, facts.hidden, lambda z: z, like)

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.noise.start_epoch(epoch)


class Dropout(_Hidden):
    r"""Dropout after every activation layer, at rate p.

    Formula: h <- m h / (1 - p) with m ~ Bernoulli(1 - p) for every unit, replica and example.

    Source: Srivastava et al. (2014); A17 Figure 10.
    """

    name = "dropout"
    symbol = "p"
    draw = "uniform"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the rates to try; A17 Figure 10 goes from 0 to 0.9."""
        return (0.1, 0.25, 0.5, 0.75)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(hidden=f"functional.dropout(h, {strength:g}, model.training)")

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Disturb the network for this step."""
        rate = self.rows(3)
        u = self.noise.take(batch.x.shape[1])
        network.put(SHIFT, torch.zeros_like(u))
        network.put(SCALE, (u >= rate).to(u.dtype) / (1 - rate))
        return batch


class HiddenNoise(_Hidden):
    r"""Gaussian noise after every activation layer, with standard deviation sigma.

    Formula: h <- h + sigma e, e ~ N(0, 1) for every unit, replica and example.

    Source: Poole, Sohl-Dickstein & Ganguli (2014); A17 Figure 10.
    """

    name = "hidden noise"
    symbol = "sigma"
    draw = "normal"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the deviations to try; A17 Figure 10 goes from 0 to 0.3."""
        return (0.03, 0.1, 0.3, 1.0)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(hidden=f"h + {strength:g} * torch.randn_like(h) if model.training else h")

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Disturb the network for this step."""
        z = self.noise.take(batch.x.shape[1])
        network.put(SHIFT, z * self.rows(3))
        network.put(SCALE, torch.ones_like(z))
        return batch

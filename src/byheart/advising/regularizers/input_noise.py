"""Dropout and Gaussian noise on inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.networks.vmapped import ForeignPack
from byheart.training.row_noise import RowNoise
from byheart.training.step import Batch


class InputDropout(Regularizer):
    r"""Dropout on inputs, at rate p.

    Formula: x <- m x / (1 - p) with m ~ Bernoulli(1 - p) for every coordinate.

    Source: Srivastava et al. (2014); A17 Figure 10.
    """

    name = "input dropout"
    symbol = "p"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, facts, like)
        self.noise = RowNoise(seeds, self.name, "uniform", _width(facts), lambda u: u, like)

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the rates to try; A17 Figure 10 goes from 0 to 0.9."""
        return (0.1, 0.25, 0.5, 0.75)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(batch=f"x = functional.dropout(x, {strength:g})")

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.noise.start_epoch(epoch)

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Return the batch with coordinates left out."""
        rate = self.rows(3)
        kept = (self.noise.take(batch.x.shape[1]) >= rate).to(batch.x.dtype)
        return replace(batch, x=batch.x * kept / (1 - rate))


class InputNoise(Regularizer):
    r"""Gaussian noise on inputs, with standard deviation sigma on the scale [0, 1].

    Formula: x <- x + sigma e, e ~ N(0, 1) for every coordinate.

    Source: Sietsma & Dow (1991); Bishop (1995); A17 Figure 10.
    """

    name = "input noise"
    symbol = "sigma"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, facts, like)
        self.noise = RowNoise(seeds, self.name, "normal", _width(facts), lambda z: z, like)

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the deviations to try; A17 Figure 10 goes from 0 to 5."""
        return (0.1, 0.25, 0.5, 1.0)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(batch=f"x = x + {strength:g} * torch.randn_like(x)")

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.noise.start_epoch(epoch)

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Return the batch with noise on it."""
        return replace(batch, x=batch.x + self.rows(3) * self.noise.take(batch.x.shape[1]))


def _width(facts: Facts) -> int:
    width = 1
    for side in facts.shape:
        width *= side
    return width

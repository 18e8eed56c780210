"""Generalized cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.training.step import Batch


class GeneralizedCrossEntropy(Regularizer):
    r"""A loss between cross-entropy (q -> 0) and the mean absolute error (q = 1).

    Formula: L = sum_k t_k (1 - p_k^q) / q.

    Source: Zhang & Sabuncu (2018), equation 6; the authors take q = 0.7.
    """

    name = "generalized cross-entropy"
    symbol = "q"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the exponents to try."""
        return (0.2, 0.5, 0.7, 0.9)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            batch="given = model(x).log_softmax(1).gather(1, y[:, None])",
            loss=f"((1 - torch.exp({strength:g} * given)) / {strength:g}).mean()",
        )

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example."""
        q = self.rows(3)
        # p^q by its logarithm: the slope of p^q at p = 0 is infinite, that of exp(q log p) is not.
        powers = torch.exp(q * scores)
        return (batch.probabilities(self.classes) * (1 - powers) / q).sum(2)

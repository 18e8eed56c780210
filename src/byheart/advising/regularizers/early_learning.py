"""Early-learning regularization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Batch, Facts, Regularizer

MOMENTUM = 0.7
"""The authors' beta on CIFAR-10."""
EDGE = 1e-4


class EarlyLearning(Regularizer):
    r"""Keeps the network near what it said of an example before.

    Formula: L = CE + lambda log(1 - <p, t>), where t <- beta t + (1 - beta) p is a running mean of
    the example's own probabilities p, one per example and replica, with beta = 0.7. The gradient
    does not pass through t. As in the authors' code p is kept within [1e-4, 1 - 1e-4], and divided
    by its sum in t.

    Source: Liu, Niles-Weed, Razavian & Fernandez-Granda (2020), equation 6 and ``loss.py``.
    """

    name = "early-learning regularization"
    symbol = "lambda"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, facts, like)
        self.means = like.new_zeros(len(strengths), facts.examples, facts.classes)

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the weights to try; the authors take 3 and 7."""
        return (0.3, 1.0, 3.0, 7.0)

    @classmethod
    def recipe(cls, strength: float) -> str:
        """Return the loss."""
        return (
            f"# loss = cross-entropy + {strength:g} * log(1 - <p, t>), t <- 0.7 t + 0.3 p per "
            "example (Liu et al. 2020)"
        )

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example."""
        p = torch.softmax(logits, 2).clamp(EDGE, 1 - EDGE)
        rows = torch.arange(len(p), device=p.device).unsqueeze(1)
        ids = batch.ids.to(p.device)
        with torch.no_grad():
            said = p / p.sum(2, keepdim=True)
            means = MOMENTUM * self.means[rows, ids] + (1 - MOMENTUM) * said
            self.means[rows, ids] = means
        pull = torch.log(1 - (p * means).sum(2))
        return super().loss(logits, batch) + self.rows(2) * pull

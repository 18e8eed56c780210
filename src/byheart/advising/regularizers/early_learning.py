"""Early-learning regularization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.training.step import Batch

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
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            setup="means = {}  # what the model said of each example before",
            batch=f"""
            logits = model(x)
            p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
            before = torch.stack(
                [means.get(i, torch.zeros_like(p[0])) for i in ids.tolist()]
            ).detach()
            said = (p / p.sum(1, keepdim=True)).detach()
            t = {MOMENTUM:g} * before + {1 - MOMENTUM:g} * said
            means.update(zip(ids.tolist(), t))
            pull = {strength:g} * (1 - (p * t).sum(1)).log().mean()
            """,
            loss="functional.cross_entropy(logits, y) + pull",
            ids=True,
        )

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example."""
        p = torch.exp(scores).clamp(EDGE, 1 - EDGE)
        rows = torch.arange(len(p), device=p.device).unsqueeze(1)
        ids = batch.rows
        with torch.no_grad():
            said = p / p.sum(2, keepdim=True)
            means = MOMENTUM * self.means[rows, ids] + (1 - MOMENTUM) * said
            self.means[rows, ids] = means
        pull = torch.log(1 - (p * means).sum(2))
        return super().loss(scores, batch) + self.rows(2) * pull

"""Label smoothing."""

from __future__ import annotations

from dataclasses import replace

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.networks.vmapped import ForeignPack
from byheart.training.step import Batch


class LabelSmoothing(Regularizer):
    r"""Targets that give every class a little.

    Formula: t <- (1 - epsilon) t + epsilon / K.

    Source: Szegedy et al. (2016), "Rethinking the Inception architecture", section 7.
    """

    name = "label smoothing"
    symbol = "epsilon"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the shares to try; the authors take 0.1."""
        return (0.05, 0.1, 0.2, 0.4)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        loss = f"functional.cross_entropy(model(x), y, label_smoothing={strength:g})"
        return Snippet(loss=loss)

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Return the batch with smoothed targets."""
        share = self.rows(3)
        targets = batch.probabilities(self.classes)
        return replace(batch, targets=(1 - share) * targets + share / self.classes)

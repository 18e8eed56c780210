"""Weight decay."""

from __future__ import annotations

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet


class WeightDecay(Regularizer):
    r"""L2 on all parameters, added to the gradient.

    Formula: g <- g + lambda theta, before momentum and the learning rate (PyTorch's convention),
    on top of the coefficient that the recipe has.

    Source: Krogh & Hertz (1992); A17 Figure 10.
    """

    name = "weight decay"
    symbol = "lambda"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the coefficients to try; A17 Figure 10 goes from 0 to 1."""
        return (1e-4, 1e-3, 1e-2, 1e-1)

    @classmethod
    def decay(cls, strength: float) -> float:
        """Return what it adds to the coefficient of weight decay."""
        return strength

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(weight_decay=strength)

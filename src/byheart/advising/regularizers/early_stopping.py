"""Early stopping."""

from __future__ import annotations

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.snippet import Snippet
from byheart.studies.presets import log_spaced

CHECKPOINTS = 9


def checkpoints(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which every training is looked at, evenly in their logarithm."""
    return (1,) if epochs == 1 else log_spaced(epochs, CHECKPOINTS)


class EarlyStopping(Regularizer):
    r"""Training that ends at an epoch, before memorization sets in.

    It needs no training of its own: what plain training had come to at that epoch is its outcome.
    Which epoch, other seeds say than those it is judged on, like any strength.

    Source: Prechelt (1998); against wrong labels, Li, Soltanolkotabi & Oymak (2020); the two phases
    of training, A17 section 3.4 and Figure 7.
    """

    name = "early stopping"
    symbol = "epochs"

    @classmethod
    def obstacle(cls, facts: Facts) -> str:
        """Return why it cannot be applied; empty if it can."""
        return "" if cls.grid(facts) else "one epoch is the whole training: there is none before it"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the epochs to stop at, from the last: the earlier, the stronger."""
        return tuple(float(e) for e in reversed(checkpoints(facts.recipe.epochs)[:-1]))

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(epochs=int(strength))

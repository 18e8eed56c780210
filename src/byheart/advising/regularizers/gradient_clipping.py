"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from byheart.advising.regularizers.base import Facts, Gradients, Regularizer, lengths, times
from byheart.advising.snippet import Snippet
from byheart.networks.vmapped import ForeignPack


class GradientClipping(Regularizer):
    r"""Steps no longer than the gradient may be.

    Formula: g <- g min(1, c / ||g||_2), over all parameters together. The lower c, the stronger.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1; with wrong labels, Menon et al. (2020).
    """

    name = "gradient clipping"
    symbol = "c"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the lengths to try."""
        return (1.0, 0.3, 0.1, 0.03)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        clip = f"torch.nn.utils.clip_grad_norm_(model.parameters(), {strength:g})"
        return Snippet(after=clip)

    def gradients(
        self, network: ForeignPack, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients, clipped."""
        found = compute()
        # As torch.nn.utils.clip_grad_norm_ does it.
        return times(found, (self.strengths / (lengths(found) + 1e-6)).clamp_max(1.0))

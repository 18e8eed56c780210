"""Sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts, Gradients, Regularizer, lengths, times
from byheart.advising.snippet import Snippet
from byheart.networks.vmapped import ForeignPack


class SharpnessAware(Regularizer):
    r"""Steps by the gradient at the worst nearby parameters.

    Formula: g <- grad L(theta + rho g / ||g||_2), with g = grad L(theta), both on the same batch.
    What batch norm keeps is updated by the first pass alone, as in the usual implementation.

    Source: Foret, Kleiner, Mobahi & Neyshabur (2021), equations 2 and 3, algorithm 1.
    """

    name = "sharpness-aware minimization"
    symbol = "rho"

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the radii to try; the authors go from 0.01 to 0.5, and take 0.05."""
        return (0.02, 0.05, 0.2, 0.5)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            after=f"""
            own = [p.detach().clone() for p in model.parameters()]
            length = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            with torch.no_grad():
                for p in model.parameters():
                    p += {strength:g} * p.grad / length
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for p, before in zip(model.parameters(), own):
                    p.copy_(before)
            """
        )

    @torch.no_grad()
    def gradients(
        self, network: ForeignPack, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients at the worst nearby parameters."""
        first = compute()
        away = times(first, self.strengths / lengths(first).clamp_min(1e-12))
        kept = [one.clone() for one in network.kept()]
        own = [one.clone() for one in parameters]
        torch._foreach_add_(list(parameters), away)
        second = compute()
        # Copied back rather than subtracted: rounding would move the parameters a little.
        torch._foreach_copy_(list(parameters), own)
        for values, before in zip(network.kept(), kept, strict=True):
            values.copy_(before)
        return second

"""Dropout together with adversarial training on critical samples."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Batch, Facts
from byheart.advising.regularizers.hidden_noise import Dropout
from byheart.advising.snippet import Snippet
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass
from byheart.networks.vmapped import ForeignPack
from byheart.training.adversary import SEARCH_STEPS
from byheart.training.row_noise import RowNoise

RATE = 0.25
RADIUS = 8 / 255


class DropoutAdversarial(Dropout):
    r"""Dropout at rate 0.25, and a share w of the loss on critical samples found at every step.

    Formula: L <- (1 - w) L(x, y) + w L(x~, y), with x~ what the search ends at in a box of radius
    8/255 after at most two steps; see :class:`byheart.training.adversary.Adversary`.

    Source: A17 section 5 and Figure 10; Goodfellow et al. (2015) for the weighted loss.
    """

    name = "dropout with adversarial training"
    symbol = "w"

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        super().__init__([RATE] * len(strengths), seeds, facts, like)
        self.weights = torch.tensor(list(strengths), dtype=like.dtype, device=like.device)
        width = int(torch.tensor(facts.shape).prod())
        self._eta = RowNoise(
            seeds, "adversarial search", "normal", SEARCH_STEPS * width, lambda z: z, like
        )

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the weights to try; the paper goes from 0.2 to 0.7."""
        return (0.2, 0.5)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        search = f"model, x, radius={RADIUS:.4g}, step={STEP_PER_RADIUS * RADIUS:.4g}"
        return Snippet(
            setup="import byheart\n" + textwrap.dedent(super().snippet(RATE).setup),
            batch=f"""
            found = byheart.critical_samples(
                {search},
                noise={NOISE_PER_RADIUS * RADIUS:.4g}, max_steps={SEARCH_STEPS}, certify=False,
            )
            own, other = model(torch.cat((x, found.witness))).chunk(2)
            """,
            loss=(
                f"{1 - strength:g} * functional.cross_entropy(own, y) "
                f"+ {strength:g} * functional.cross_entropy(other, y)"
            ),
        )

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        super().start_epoch(epoch)
        self._eta.start_epoch(epoch)

    def change(self, batch: Batch, network: ForeignPack) -> Batch:
        """Return the batch with what the search found behind it."""
        replicas, size, inputs = batch.x.shape
        found = lass(
            network,
            batch.x,
            RADIUS,
            step=STEP_PER_RADIUS * RADIUS,
            noise=NOISE_PER_RADIUS * RADIUS,
            max_steps=SEARCH_STEPS,
            eta=self._eta.take(size).view(replicas, size, SEARCH_STEPS, inputs),
        )
        both = Batch(
            torch.cat((batch.ids, batch.ids), 1),
            torch.cat((batch.x, found.witness), 1),
            torch.cat((batch.targets, batch.targets), 1),
        )
        return super().change(both, network)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, 2B] of each example, weighted so that its mean is the loss."""
        weight, half = self.weights.view(-1, 1), logits.shape[1] // 2
        shares = torch.cat(((1 - weight).expand(-1, half), weight.expand(-1, half)), 1)
        return 2 * shares * super().loss(logits, batch)

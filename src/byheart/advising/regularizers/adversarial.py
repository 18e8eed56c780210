"""Dropout together with adversarial training on critical samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.advising.regularizers.base import Facts
from byheart.advising.regularizers.hidden_noise import Dropout
from byheart.advising.snippet import Snippet
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass
from byheart.networks.vmapped import ForeignPack
from byheart.training.adversary import SEARCH_STEPS
from byheart.training.row_noise import RowNoise
from byheart.training.step import Batch

RATE = 0.25
RADIUS = 8 / 255

# Written out, since the search of the library ends at the input where it finds no witness.
_SEARCH = f"""
def towards_another_class(x, radius=8 / 255):
    model.eval()
    end, said = x, model(x).argmax(1)
    walking = torch.ones_like(said, dtype=torch.bool)
    for _ in range({SEARCH_STEPS}):
        at = end.detach().requires_grad_()
        logits = model(at)
        own = logits.gather(1, said[:, None])[:, 0]
        others = logits.scatter(1, said[:, None], float("-inf")).logsumexp(1)
        (slope,) = torch.autograd.grad((own - others).sum(), at)
        with torch.no_grad():
            moved = at - {STEP_PER_RADIUS!r} * radius * slope.sign()
            moved += {NOISE_PER_RADIUS!r} * radius * torch.randn_like(x)
            moved = x + (moved - x).clamp(-radius, radius)
            end = torch.where(walking.view(-1, *[1] * (x.dim() - 1)), moved, end)
            walking &= model(end).argmax(1) == said
    model.train()
    return end


"""


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
        return Snippet(
            hidden=super().snippet(RATE).hidden,
            setup=_SEARCH,
            batch="own, other = model(torch.cat((x, towards_another_class(x)))).chunk(2)",
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
            torch.cat((batch.rows, batch.rows), 1),
            torch.cat((batch.x, found.witness), 1),
            torch.cat((batch.y, batch.y), 1),
        )
        return super().change(both, network)

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, 2B] of each example, weighted so that its mean is the loss."""
        weight, half = self.weights.view(-1, 1), scores.shape[1] // 2
        shares = torch.cat(((1 - weight).expand(-1, half), weight.expand(-1, half)), 1)
        return 2 * shares * super().loss(scores, batch)

"""Adversarial training on critical samples that are found while training goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass
from byheart.networks.base import PackNetwork
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer, Snippet
from byheart.training.regularizers.noise import Dropout, RowNoise

RATE = 0.25
RADIUS = 8 / 255
SEARCH_STEPS = 2
"""Iteration limit of the search at each training step."""

# Written out, since the search of the library ends at the input where it finds no witness.
_SEARCH = f"""
def towards_another_class(x, radius=8 / 255):
    model.eval()
    end, said = x, model(x).argmax(1)
    walking = torch.ones_like(said, dtype=torch.bool)
    for _ in range({SEARCH_STEPS}):
        at = end.detach().requires_grad_()
        logits = model(at)
        predicted = logits.gather(1, said[:, None])[:, 0]
        others = logits.scatter(1, said[:, None], float("-inf")).logsumexp(1)
        (slope,) = torch.autograd.grad((predicted - others).sum(), at)
        with torch.no_grad():
            moved = at - {STEP_PER_RADIUS!r} * radius * slope.sign()
            moved += {NOISE_PER_RADIUS!r} * radius * torch.randn_like(x)
            moved = x + (moved - x).clamp(-radius, radius)
            end = torch.where(walking.view(-1, *[1] * (x.dim() - 1)), moved, end)
            walking &= model(end).argmax(1) == said
    model.train()
    return end


"""


class Adversarial(Regularizer):
    r"""Puts a share w of the loss on samples of another predicted class within a small box.

    Formula: L <- (1 - w) L(x, y) + w L(x~, y), where x~ is what the search ends at within
    ||x~ - x||_inf <= r, for the network of this step in evaluation mode: a critical sample's
    witness where one is found within ``SEARCH_STEPS`` iterations, else the last point of the walk.
    The gradient does not pass through the search.

    Args:
        strengths: the weight w of each replica.
        seeds: one per replica.
        task: the learning task.
        like: gives the type and device.
        radius: r of the box, on the input scale [0, 1].

    Source: A17 section 5 and Figure 10, which say neither how long is searched nor what is trained
    on where nothing is found; Goodfellow et al. (2015) for the weighted loss.
    """

    name = "adversarial training"
    symbol = "w"

    def __init__(
        self,
        strengths: Sequence[float],
        seeds: Sequence[int],
        task: LearningTask,
        like: Tensor,
        radius: float = RADIUS,
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        self._radius = radius
        width = SEARCH_STEPS * math.prod(task.shape)
        self._eta = RowNoise(seeds, "adversarial search", "normal", width, like)

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self._eta.start_epoch(epoch)

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch [R, 2B] with what the search found behind it, and weights."""
        replicas, size, inputs = batch.x.shape
        search = lass(
            network,
            batch.x,
            self._radius,
            step=STEP_PER_RADIUS * self._radius,
            noise=NOISE_PER_RADIUS * self._radius,
            max_steps=SEARCH_STEPS,
            eta=self._eta.take(size).view(replicas, size, SEARCH_STEPS, inputs),
        )
        weight = self.per_replica(2)
        weights = torch.cat((1 - weight, weight), 1).div(size).repeat_interleave(size, 1)
        return replace(
            batch,
            rows=torch.cat((batch.rows, batch.rows), 1),
            x=torch.cat((batch.x, search.witness), 1),
            y=torch.cat((batch.y, batch.y), 1),
            weights=weights,
        )


class _Dropout(Dropout):
    """Dropout with random numbers that differ from those of plain dropout."""

    name = "dropout with adversarial training"


class DropoutAdversarial(Adversarial):
    r"""Adversarial training within a radius of 8/255, with dropout at rate 0.25.

    Formula: see :class:`Adversarial` and :class:`Dropout`.

    Source: A17 section 5 and Figure 10; Goodfellow et al. (2015) for the weighted loss.
    """

    name = _Dropout.name
    strengths_to_try = (0.2, 0.5)
    """The paper goes from 0.2 to 0.7."""
    changes_hidden = True

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        self._dropout = _Dropout([RATE] * len(strengths), seeds, task, like)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            hidden=Dropout.snippet(RATE).hidden,
            setup=_SEARCH,
            batch="clean, attacked = model(torch.cat((x, towards_another_class(x)))).chunk(2)",
            loss=(
                f"{1 - strength:g} * functional.cross_entropy(clean, y) "
                f"+ {strength:g} * functional.cross_entropy(attacked, y)"
            ),
        )

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        super().start_epoch(epoch)
        self._dropout.start_epoch(epoch)

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with what the search found behind it, and masks for hidden units."""
        return self._dropout.change(super().change(batch, network), network)

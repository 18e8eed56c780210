"""Training on critical samples that are found while training goes on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass
from byheart.networks.base import PackNetwork
from byheart.training.regularizers import column
from byheart.training.row_noise import RowNoise
from byheart.trial import Algorithm

SEARCH_STEPS = 2
"""Iteration limit of the search at each training step."""


class Adversary:
    r"""Puts a share of the loss on samples of another predicted class within a small box.

    Formula: loss = (1 - w) L(x, y) + w L(x~, y), where x~ is what the search ends at within
    ||x~ - x||_inf <= r, for the network of this moment in evaluation mode: a critical sample's
    witness where one is found within ``SEARCH_STEPS`` iterations, else the last point of the walk,
    which lies as far towards another class as it came. The gradient does not pass through the
    search.

    Source: A17 section 5 and Figure 10, which say neither how long is searched nor what is trained
    on where nothing is found; Goodfellow et al. (2015) for the weighted loss.
    """

    def __init__(
        self, algorithms: Sequence[Algorithm], seeds: Sequence[int], inputs: int, like: Tensor
    ) -> None:
        self._weight = column([a.adversarial_weight for a in algorithms], like)
        self._radius = algorithms[0].adversarial_radius
        self._inputs = inputs
        self._eta = RowNoise(
            seeds, "adversarial search", "normal", SEARCH_STEPS * inputs, lambda z: z, like
        )

    @classmethod
    def of(
        cls, algorithms: Sequence[Algorithm], seeds: Sequence[int], inputs: int, like: Tensor
    ) -> Adversary | None:
        """Return the adversary of a pack, or None if no replica has one.

        Args:
            algorithms: one per replica; all of one radius.
            seeds: one per replica.
            inputs: numbers per example.
            like: gives the type and device.
        """
        used = any(a.adversarial_weight > 0 for a in algorithms)
        return cls(algorithms, seeds, inputs, like) if used else None

    def start_epoch(self, epoch: int) -> None:
        """Begin the searches of an epoch, counted from 0."""
        self._eta.start_epoch(epoch)

    def extend(self, network: PackNetwork, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Append what the search finds to a batch.

        Args:
            network: the replicas.
            x: [R, B, inputs].
            y: [R, B] labels.

        Returns:
            (x [R, 2B, inputs], y [R, 2B], the weight [R, 2B, 1] of each example in the loss).
        """
        replicas, size, inputs = x.shape
        found = lass(
            network,
            x,
            self._radius,
            step=STEP_PER_RADIUS * self._radius,
            noise=NOISE_PER_RADIUS * self._radius,
            max_steps=SEARCH_STEPS,
            eta=self._eta.take(size).view(replicas, size, SEARCH_STEPS, inputs),
        )
        share = torch.cat((1 - self._weight, self._weight), 1).div(size)
        return (
            torch.cat((x, found.witness), 1),
            torch.cat((y, y), 1),
            share.repeat_interleave(size, 1),
        )

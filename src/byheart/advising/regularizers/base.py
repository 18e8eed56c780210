"""What a regularizer is: what it may change of a training step, replica by replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from byheart.advising.snippet import Snippet
from byheart.training import step
from byheart.training.recipe import Recipe


@dataclass(frozen=True)
class Facts:
    """What a regularizer may want to know of the data, the network and the training.

    Attributes:
        shape: of one input.
        examples: in the data set N.
        classes: number of them.
        hidden: hidden units that can be disturbed.
        no_hidden: why there are none; empty if there are.
        recipe: how the network trains without a regularizer.
        layers: types of the layers after which they are disturbed, as ``torch.nn`` has them.
    """

    shape: tuple[int, ...]
    examples: int
    classes: int
    hidden: int
    no_hidden: str
    recipe: Recipe
    layers: tuple[str, ...] = ()

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Channels, height and width of an input; None if it is no image."""
        if len(self.shape) == 2:
            return (1, *self.shape)
        if len(self.shape) == 3 and self.shape[0] in (1, 3, 4):
            return self.shape
        return None


Gradients = Callable[[], list[Tensor]]
"""Computes the gradients of a batch at the parameters as they stand."""


class Regularizer(step.Regularizer):
    """Changes nothing: plain training. Each regularizer overrides what it changes.

    Args:
        strengths: one per replica.
        seeds: one per replica.
        facts: of data, network and training.
        like: gives the type and device.
    """

    name: ClassVar[str] = "none"
    symbol: ClassVar[str] = ""
    """What the strength is called in the documentation."""
    reaches_in: ClassVar[bool] = False
    """It disturbs hidden layers: replicas are made of :class:`Disturbed` networks."""

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], facts: Facts, like: Tensor
    ) -> None:
        self.classes = facts.classes
        self.strengths = torch.tensor(list(strengths), dtype=like.dtype, device=like.device)

    @classmethod
    def obstacle(cls, facts: Facts) -> str:
        """Return why it cannot be applied; empty if it can."""
        return facts.no_hidden if cls.reaches_in else ""

    @classmethod
    def grid(cls, facts: Facts) -> tuple[float, ...]:
        """Return the strengths to try, from the weakest."""
        return ()

    @classmethod
    def decay(cls, strength: float) -> float:
        """Return what it adds to the coefficient of weight decay."""
        return 0.0

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet()

    def rows(self, dims: int) -> Tensor:
        """Return the strengths as [R, 1, ...] with so many dimensions."""
        return self.strengths.view(-1, *[1] * (dims - 1))


def lengths(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean length [R] of each replica's gradient over all parameters."""
    squares = [(one.flatten(1) ** 2).sum(1) for one in gradients]
    return torch.stack(squares).sum(0).sqrt()


def times(gradients: Sequence[Tensor], factors: Tensor) -> list[Tensor]:
    """Return gradients, each [R, ...], times a factor [R] per replica."""
    return [one * factors.view(-1, *[1] * (one.dim() - 1)) for one in gradients]

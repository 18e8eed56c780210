"""The base class of regularizers, and the batch that they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from byheart.networks.base import PackNetwork, TrainableNetwork


@dataclass(frozen=True)
class Batch:
    """The examples of one step, as changed by regularizers.

    Attributes:
        rows: [R, B] rows of ``Examples.pool``; for a user's data the ids of the examples.
        x: [R, B, inputs] inputs.
        y: [R, B] labels.
        targets: [R, B, classes] probabilities to learn instead of the labels.
        weights: [R, B] weight of each example in the loss, with sum 1; None means equal weights.
        shift: [R, B, units] added to the hidden units after their activation.
        scale: [R, B, units] factors of the hidden units after that.
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    targets: Tensor | None = None
    weights: Tensor | None = None
    shift: Tensor | None = None
    scale: Tensor | None = None

    def probabilities(self, classes: int) -> Tensor:
        """Return ``targets``, or the labels as one-hot vectors [R, B, classes]."""
        if self.targets is not None:
            return self.targets
        return functional.one_hot(self.y, classes).to(self.x.dtype)


@dataclass(frozen=True)
class LearningTask:
    """Facts about data, network and training that regularizers need.

    Attributes:
        shape: shape of one input.
        classes: number of classes.
        hidden: number of units to which noise can be added.
        examples: number N of examples.
        no_hidden: why there are no such units; empty if there are.
        checkpoints: the epochs at which accuracy is measured, ascending.
        layers: types of the layers with hidden units, as ``torch.nn`` names them.
    """

    shape: tuple[int, ...]
    classes: int
    hidden: int
    examples: int = 0
    no_hidden: str = ""
    checkpoints: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Channels, height and width of an input; None if it is no image."""
        if len(self.shape) == 2:
            return (1, *self.shape)
        if len(self.shape) == 3 and self.shape[0] in (1, 3, 4):
            return self.shape
        return None


@dataclass(frozen=True)
class Snippet:
    """What a regularizer changes of a plain training loop, as lines of Python.

    Attributes:
        setup: before training; may use ``model``.
        hidden: a formula of ``h``, put in the place of every activation layer's output.
        batch: before the loss; may change ``x`` and ``y``.
        loss: loss of a batch.
        after: between the gradients and the step.
        weight_decay: added to that of the recipe.
        epochs: in place of those of the recipe.
        ids: the loop needs the ids of examples.
    """

    setup: str = ""
    hidden: str = ""
    batch: str = ""
    loss: str = "functional.cross_entropy(model(x), y)"
    after: str = ""
    weight_decay: float = 0.0
    epochs: int | None = None
    ids: bool = False


Gradients = Callable[[], list[Tensor]]
"""Computes the gradients of a batch at the parameters as they stand, each [R, ...]."""


class Regularizer:
    """Changes nothing: plain training. Each regularizer overrides what it changes.

    Args:
        strengths: one per replica.
        seeds: one per replica: draw its random numbers.
        task: the learning task.
        like: gives the type and device.
    """

    name: ClassVar[str] = "none"
    symbol: ClassVar[str] = ""
    """What the strength is called in the documentation."""
    strengths_to_try: ClassVar[tuple[float, ...]] = ()
    changes_hidden: ClassVar[bool] = False
    """It changes hidden units, so a user's network is wrapped in :class:`PerturbedModule`."""

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        self.strengths = torch.tensor(list(strengths), dtype=like.dtype, device=like.device)
        self.seeds = list(seeds)
        self.task = task

    @classmethod
    def obstacle(cls, task: LearningTask) -> str:
        """Return why it cannot be applied; empty if it can."""
        return task.no_hidden if cls.changes_hidden else ""

    @classmethod
    def grid(cls, task: LearningTask) -> tuple[float, ...]:
        """Return the strengths that advice tries, from the weakest."""
        return cls.strengths_to_try

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it in plain PyTorch."""
        return Snippet()

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch to train on instead.

        Args:
            batch: as drawn, or as another regularizer changed it.
            network: the pack that trains.
        """
        return batch

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example, from log-probabilities [R, B, classes].

        Formula: cross-entropy -sum_k t_k log p_k.
        """
        if batch.targets is None:
            return -scores.gather(2, batch.y.unsqueeze(2)).squeeze(2)
        return -(batch.targets * scores).sum(2)

    def gradients(
        self, network: TrainableNetwork, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients to step by, each [R, ...].

        Args:
            network: the pack.
            parameters: its, each [R, ...]; may be moved, and must be moved back.
            compute: returns those of the loss, at the parameters as they stand.
        """
        return compute()

    def per_replica(self, dims: int) -> Tensor:
        """Return the strengths as [R, 1, ...] with so many dimensions."""
        return self.strengths.view(-1, *[1] * (dims - 1))

"""Arms (a regularizer at one strength) that can be applied to a network and its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from byheart.data.dataset import Dataset
from byheart.networks.examine import EXAMPLES, Examined
from byheart.networks.foreign import Source, initialised
from byheart.networks.vmapped import hidden_units, noise_layer_types
from byheart.studies.presets import log_spaced
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import LearningTask, Regularizer
from byheart.training.regularizers.updates import EarlyStopping

CHECKPOINTS = 9
"""Largest number of epochs at which accuracy is measured."""


@dataclass(frozen=True)
class Arm:
    """A regularizer at one strength."""

    kind: type[Regularizer]
    strength: float = 0.0

    @property
    def regularizer(self) -> str:
        """Name of the regularizer."""
        return self.kind.name

    @property
    def name(self) -> str:
        """Name of the regularizer with its strength."""
        if self.kind is Regularizer:
            return self.kind.name
        return f"{self.kind.name}, {self.kind.symbol} = {self.strength:g}"

    @property
    def stops_at(self) -> int | None:
        """The epoch at which training ends; None for its last."""
        return int(self.strength) if self.kind is EarlyStopping else None


PLAIN = Arm(Regularizer)
"""No regularizer."""


@dataclass(frozen=True)
class Menu:
    """The arms to choose from.

    Attributes:
        arms: for each regularizer its arms, from the weakest strength.
        obstacles: for each regularizer that cannot be applied, by name, the reason.
    """

    arms: dict[type[Regularizer], tuple[Arm, ...]]
    obstacles: dict[str, str]

    @property
    def all_arms(self) -> tuple[Arm, ...]:
        """All arms."""
        return tuple(arm for arms in self.arms.values() for arm in arms)

    @property
    def weakest(self) -> tuple[Arm, ...]:
        """The weakest strength of each regularizer."""
        return tuple(arms[0] for arms in self.arms.values())


def checkpoints(epochs: int) -> tuple[int, ...]:
    """Return the epochs after which accuracy is taken, evenly in their logarithm."""
    return (1,) if epochs == 1 else log_spaced(epochs, CHECKPOINTS)


def learning_task(
    source: Source, examined: Examined, dataset: Dataset, recipe: Recipe
) -> LearningTask:
    """Return what regularizers need to know; the network is tried on random inputs.

    Args:
        source: creates the network.
        examined: the results of examining the network.
        dataset: the user's data set.
        recipe: how to train.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(EXAMPLES, *examined.takes, generator=draw)
    model = initialised(source, 0)
    units, reason = hidden_units(model, x)
    return LearningTask(
        dataset.shape,
        dataset.n_classes,
        hidden=units,
        examples=len(dataset),
        no_hidden=reason,
        checkpoints=checkpoints(recipe.epochs),
        layers=noise_layer_types(model),
    )


def menu(
    kinds: Sequence[type[Regularizer]], task: LearningTask, recipe: Recipe | None = None
) -> Menu:
    """Return the arms of the regularizers that can be applied, and why others cannot."""
    obstacles = {
        kind.name: kind.obstacle(task) or (recipe.obstacle(kind) if recipe else "")
        for kind in kinds
    }
    return Menu(
        {
            kind: tuple(Arm(kind, strength) for strength in kind.grid(task))
            for kind in kinds
            if not obstacles[kind.name]
        },
        {name: reason for name, reason in obstacles.items() if reason},
    )

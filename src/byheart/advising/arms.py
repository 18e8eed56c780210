"""Regularizers at strengths: what there is to choose from on given data and a given network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from byheart.advising.regularizers.base import Facts, Regularizer
from byheart.advising.regularizers.early_stopping import EarlyStopping
from byheart.data.dataset import Dataset
from byheart.networks.examine import EXAMPLES, Examined
from byheart.networks.foreign import Source, initialised
from byheart.networks.hidden import hidden_units, kinds_of_places
from byheart.training.recipe import Recipe


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


@dataclass(frozen=True)
class Menu:
    """What there is to choose from.

    Attributes:
        arms: by regularizer, its strengths from the weakest.
        obstacles: by the name of each regularizer that cannot be applied, why.
    """

    arms: dict[type[Regularizer], tuple[Arm, ...]]
    obstacles: dict[str, str]

    @property
    def every(self) -> tuple[Arm, ...]:
        """All arms."""
        return tuple(arm for own in self.arms.values() for arm in own)

    @property
    def weakest(self) -> tuple[Arm, ...]:
        """The weakest strength of each regularizer."""
        return tuple(own[0] for own in self.arms.values())


def facts_of(source: Source, found: Examined, dataset: Dataset, recipe: Recipe) -> Facts:
    """Return what regularizers want to know; the network is tried on random inputs.

    Args:
        source: of the network.
        found: by examining it.
        dataset: the user's.
        recipe: how it trains.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(EXAMPLES, *found.takes, generator=draw)
    model = initialised(source, 0)
    units, reason = hidden_units(model, x)
    return Facts(
        dataset.shape, len(dataset), dataset.n_classes, units, reason, recipe,
        kinds_of_places(model),
    )  # fmt: skip


def menu(kinds: Sequence[type[Regularizer]], facts: Facts) -> Menu:
    """Return the arms of the regularizers that can be applied, and why others cannot."""
    obstacles = {kind.name: kind.obstacle(facts) for kind in kinds}
    return Menu(
        {
            kind: tuple(Arm(kind, strength) for strength in kind.grid(facts))
            for kind in kinds
            if not obstacles[kind.name]
        },
        {name: reason for name, reason in obstacles.items() if reason},
    )

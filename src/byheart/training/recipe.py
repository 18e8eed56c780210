"""How a network is trained, for ``byheart.audit`` and ``byheart.advise``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch

from byheart.errors import InputError, choose
from byheart.networks.examine import Examined
from byheart.networks.foreign import Source, called
from byheart.networks.vmapped import ModulePack
from byheart.seeds import generator, seed
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.packs import find_device
from byheart.training.regularizers.augmentation import Colour, Cutout, Flip, Shift
from byheart.training.regularizers.base import LearningTask, Regularizer, Snippet
from byheart.training.regularizers.losses import ClassWeights, LabelSmoothing
from byheart.training.step import AutogradStep
from byheart.trial import Algorithm, Foreign

NAMES = {"sgd": "SGD", "adamw": "AdamW"}
RATES = {"sgd": 0.05, "adamw": 3e-3}
"""Learning rate of an optimizer where none is given."""
DECAYS = {"sgd": 0.0, "adamw": 0.01}
"""Weight decay where none is given; AdamW's is PyTorch's default."""
MOMENTUM = {"sgd": 0.9, "adamw": 0.0}
"""Momentum where none is given; AdamW has none."""
BY_NAME = {"learning_rate": RATES, "weight_decay": DECAYS, "momentum": MOMENTUM}
BY_OPTIMIZER: Any = None
"""The default of the optimizer and of what depends on it."""


def _pixels(share: float) -> Callable[[LearningTask], float]:
    """Return a share of the shorter side of an image, in whole pixels."""

    def pixels(task: LearningTask) -> float:
        return max(1.0, float(round(share * min(task.shape[-2:]))))

    return pixels


AUGMENT: Mapping[str, tuple[type[Regularizer], Callable[[LearningTask], float]]] = {
    "flip": (Flip, lambda task: 0.5),
    "crop": (Shift, _pixels(1 / 8)),
    "colour": (Colour, lambda task: 0.3),
    "erasing": (Cutout, _pixels(1 / 4)),
}
"""Each change of images, and its strength for the images of a task."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Without values it is the default of audit and advice.

    Attributes:
        optimizer: "sgd" or "adamw". Default: "sgd" if a learning rate or momentum is given, since
            they are then meant for SGD; else "adamw".
        learning_rate: step size, the highest one of a schedule. Default: 0.05 for SGD, 0.003 for
            AdamW.
        schedule: "constant"; "cosine", from the learning rate to 0 over all epochs; or "step",
            which multiplies it by ``decay`` every ``decay_every`` epochs.
        epochs: passes over the data.
        batch_size: examples per step.
        augment: random changes of images, anew in every epoch: "flip" (left to right), "crop" (of
            the image padded by an eighth), "colour" (brightness, contrast, saturation) and
            "erasing" (of a square).
        momentum: of SGD, from 0 to below 1. Default: 0.9.
        weight_decay: L2 coefficient; decoupled in AdamW. Default: 0 for SGD, 0.01 for AdamW.
        warm_up: epochs in which the learning rate rises first.
        decay_every: epochs between two steps of the step schedule. Default: a third of all.
        decay: factor of the step schedule.
        label_smoothing: share of the label that goes to all classes alike, from 0 to below 1.
        class_weights: "none", or "balanced": all classes count the same in the loss.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "mps".

    Raises:
        InputError: a value out of range.
    """

    optimizer: Literal["sgd", "adamw"] = BY_OPTIMIZER
    learning_rate: float = BY_OPTIMIZER
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    epochs: int = 20
    batch_size: int = 32
    augment: Sequence[str] = ()
    momentum: float = BY_OPTIMIZER
    weight_decay: float = BY_OPTIMIZER
    warm_up: int = 0
    decay_every: int | None = None
    decay: float = 0.1
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.optimizer is None:
            given = self.learning_rate is not None or self.momentum is not None
            object.__setattr__(self, "optimizer", "sgd" if given else "adamw")
        choose("optimizer", self.optimizer, NAMES)
        choose("schedule", self.schedule, ("constant", "cosine", "step"))
        for name, least in (("epochs", 1), ("batch_size", 1), ("warm_up", 0)):
            _require_whole(name, getattr(self, name), least)
        if self.decay_every is not None:
            _require_whole("decay_every", self.decay_every, 1)
        choose("class_weights", self.class_weights, ("none", "balanced"))
        for name, values in BY_NAME.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, values[self.optimizer])
        augment = (self.augment,) if isinstance(self.augment, str) else tuple(self.augment)
        object.__setattr__(self, "augment", tuple(choose("augment", a, AUGMENT) for a in augment))
        self._require()

    def _require(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be a number above 0, got {self.learning_rate!r}")
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < math.inf):
            raise InputError(
                "momentum must be from 0 to below 1 and weight_decay 0 or more, got "
                f"{self.momentum!r} and {self.weight_decay!r}"
            )
        if self.optimizer == "adamw" and self.momentum:
            raise InputError("momentum belongs to SGD: leave it out with optimizer 'adamw'")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"label_smoothing must be from 0 to below 1, got {self.label_smoothing!r}"
            )
        if not 0 < self.decay <= 1:
            raise InputError(f"decay must be above 0 and at most 1, got {self.decay!r}")
        if self.warm_up >= self.epochs:
            raise InputError(
                f"warm_up must be below the number of epochs, {self.epochs}, got {self.warm_up}"
            )

    def __str__(self) -> str:
        """Return the recipe in words."""
        parts = [f"{NAMES[self.optimizer]}, learning rate {self.learning_rate:g}"]
        if self.schedule == "cosine":
            parts.append("cosine schedule")
        if self.schedule == "step":
            parts.append(f"times {self.decay:g} every {self.steps_every} epochs")
        if self.warm_up:
            parts.append(f"warm-up of {_epochs(self.warm_up)}")
        if self.optimizer == "sgd":
            parts.append(f"momentum {self.momentum:g}")
        parts.append(f"weight decay {self.weight_decay:g}")
        parts.append(f"{_epochs(self.epochs)} in batches of {self.batch_size}")
        if self.label_smoothing:
            parts.append(f"label smoothing {self.label_smoothing:g}")
        if self.class_weights == "balanced":
            parts.append("balanced class weights")
        if self.augment:
            parts.append(f"augmentation: {', '.join(self.augment)}")
        return ", ".join(parts)

    def with_values(self, **values: Any) -> Recipe:
        """Return the recipe with other values; those that are None stay.

        With another optimizer, learning rate, momentum and weight decay become its defaults.
        """
        given = {name: value for name, value in values.items() if value is not None}
        if given.get("optimizer", self.optimizer) != self.optimizer:
            given = dict.fromkeys(BY_NAME) | given
        return replace(self, **given)

    @property
    def steps_every(self) -> int:
        """Epochs between two steps of the step schedule."""
        return self.decay_every or -(-self.epochs // 3)

    def on_device(self) -> Recipe:
        """Return the recipe with the name of a device that is there."""
        return replace(self, device=find_device(self.device))

    @torch.no_grad()
    def loop(
        self,
        network: ModulePack,
        algorithms: Sequence[Algorithm],
        examples: Examples,
        seeds: Sequence[int],
        *,
        classes: int,
        regularizer: Regularizer | None = None,
        hooks: Sequence[Hook] = (),
    ) -> TrainingLoop:
        """Return the loop that trains a pack of the user's network.

        Args:
            network: the replicas.
            algorithms: one per replica.
            examples: examples of the replicas.
            seeds: seeds of the replicas: draw the order of their examples, and augmentation.
            classes: number of classes.
            regularizer: regularizer of all replicas.
            hooks: see :class:`TrainingLoop`.
        """
        changes = list(self.changes(examples, seeds, classes))
        return TrainingLoop(
            AutogradStep(network, algorithms, seeds, changes=changes, regularizer=regularizer),
            examples,
            [generator("shuffle", seed) for seed in seeds],
            batch_size=self.batch_size,
            even=True,
            hooks=hooks,
        )

    def changes(
        self, examples: Examples, seeds: Sequence[int], classes: int
    ) -> Iterator[Regularizer]:
        """Yield what changes the batches: augmentation, label smoothing and class weights."""
        task, like = LearningTask(examples.shape, classes, 0), examples.pool
        # Advice may try the same regularizers: their random numbers are others.
        own = [seed("recipe", replica) for replica in seeds]
        for kind, strength in self._augmentations(task):
            yield kind([strength] * len(own), own, task, like)
        if self.label_smoothing:
            yield LabelSmoothing([self.label_smoothing] * len(own), own, task, like)
        if self.class_weights == "balanced":
            ones = torch.ones_like(examples.train_y)
            counts = ones.new_zeros(len(own), classes).scatter_add_(1, examples.train_y, ones)
            yield ClassWeights(counts, task, like)

    def _augmentations(self, task: LearningTask) -> Iterator[tuple[type[Regularizer], float]]:
        for name in self.augment:
            kind, strength = AUGMENT[name]
            obstacle = kind.obstacle(task)
            if obstacle:
                raise InputError(f"augment: '{name}' is for images: {obstacle}")
            yield kind, strength(task)

    def augmentations(self, task: LearningTask) -> list[Snippet]:
        """Return how to augment in plain PyTorch."""
        return [kind.snippet(strength) for kind, strength in self._augmentations(task)]

    def obstacle(self, kind: type[Regularizer]) -> str:
        """Return why a regularizer cannot be added to the recipe; empty if it can."""
        if any(AUGMENT[name][0] is kind for name in self.augment):
            return "the recipe has it already"
        other_loss = self.label_smoothing or self.class_weights != "none"
        if other_loss and kind.snippet(1.0).loss != Snippet().loss:
            return "both it and the recipe (label smoothing, class weights) change the loss"
        return ""

    def algorithm(self, source: Source, examined: Examined) -> Algorithm:
        """Return the same as the facts that the engine takes."""
        step = {"decay_every": self.steps_every, "decay": self.decay}
        return Algorithm(
            network=Foreign(factory=called(source), fingerprint=examined.fingerprint),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            epochs=self.epochs,
            cosine=self.schedule == "cosine",
            warm_up=self.warm_up,
            label_smoothing=self.label_smoothing,
            balanced=self.class_weights == "balanced",
            augment=tuple(self.augment),
            **(step if self.schedule == "step" else {}),  # type: ignore[arg-type]
        )


def chosen_recipe(recipe: Recipe | None, **values: Any) -> Recipe:
    """Return the recipe to train with, on a device that is there.

    Args:
        recipe: the user's; None for :func:`default_recipe`.
        values: fields that replace those of the recipe; None leaves a field as it is.
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        names = ", ".join(field.name for field in fields(Recipe))
        raise InputError(
            f"recipe is a {type(recipe).__name__}: give a byheart.Recipe; its fields are {names}"
        )
    if recipe is None:
        return default_recipe(**values).on_device()
    return recipe.with_values(**values).on_device()


def default_recipe(**values: Any) -> Recipe:
    """Return the default recipe with other values; those that are None stay."""
    return Recipe(**{name: value for name, value in values.items() if value is not None})


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _require_whole(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
        raise InputError(f"{name} must be a whole number of {least} or more, got {number!r}")

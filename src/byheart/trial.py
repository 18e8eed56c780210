"""What is to be trained: the facts of a trial, and the key that is their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """A frozen set of facts: equal facts are equal objects, and unknown facts are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, whose cached properties (the key of a trial) are its own."""
        copy = super().model_copy(update=update, deep=deep)
        fields = type(self).model_fields
        for name in [name for name in copy.__dict__ if name not in fields]:
            del copy.__dict__[name]
        return copy


class DataFacts(Facts):
    """Which examples a trial sees, and which of them were replaced by noise.

    Attributes:
        fingerprint: SHA-256 of the clean source; a name or path is no fact of a trial.
        train: number of training examples, class-balanced.
        validation: number of validation examples, class-balanced, clean, disjoint from training.
        inputs: fraction of training inputs replaced by Gaussian noise (randX).
        labels: fraction of training labels replaced by uniform random ones (randY).
        seed: draws the subset and the corruption.
    """

    fingerprint: str
    train: int = Field(gt=0)
    validation: int = Field(ge=0)
    inputs: float = Field(default=0.0, ge=0, le=1)
    labels: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0


class Network(Facts):
    """A multilayer perceptron with ReLU hidden layers, Glorot-uniform weights and zero biases."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...]


class Algorithm(Facts):
    """The papers' "learning algorithm": network, optimizer, schedule and stopping rule.

    Attributes:
        network: what is trained.
        learning_rate: step size of SGD; per replica.
        momentum: heavy-ball coefficient (PyTorch's convention); per replica.
        weight_decay: L2 coefficient added to the gradient; per replica.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        epochs: the budget.
        decay_every: multiply the learning rate by ``decay`` every so many epochs.
        decay: the factor of the step schedule.
        stop: "budget" trains all epochs, "converged" ends at 100% training accuracy.
    """

    network: Network
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(gt=0)
    epochs: int = Field(gt=0)
    decay_every: int | None = Field(default=None, gt=0)
    decay: float = Field(default=0.5, gt=0, le=1)
    stop: Literal["budget", "converged"] = "budget"


class AccuracyProbe(Facts):
    """Training accuracy (all, clean and noisy examples), training loss and validation accuracy."""

    name: Literal["accuracy"] = "accuracy"
    version: Literal[1] = 1
    epochs: tuple[int, ...]


class CorrectProbe(Facts):
    """Which training examples the network classifies as labelled: one bit per example."""

    name: Literal["correct"] = "correct"
    version: Literal[1] = 1
    epochs: tuple[int, ...]


class CriticalProbe(Facts):
    """Critical sample ratio on validation and training examples, by the LASS search.

    Attributes:
        radii: radii of the box for validation examples, ascending, on the input scale [0, 1].
        train_radii: the same for training examples.
        examples: how many validation examples, and how many training examples, are searched.
        max_steps: iteration limit of the search per radius.
    """

    name: Literal["critical"] = "critical"
    version: Literal[1] = 1
    epochs: tuple[int, ...]
    radii: tuple[float, ...]
    train_radii: tuple[float, ...] = ()
    examples: int = Field(gt=0)
    max_steps: int = Field(gt=0)


Probe = Annotated[AccuracyProbe | CorrectProbe | CriticalProbe, Field(discriminator="name")]


class Trial(Facts):
    """One algorithm on one corrupted data set with one seed.

    Attributes:
        data: the examples; ``data.seed`` draws subset and corruption.
        algorithm: how they are learned.
        seed: draws the initialisation and the order of the examples.
        probes: what is measured, and at which epochs.
    """

    data: DataFacts
    algorithm: Algorithm
    seed: int
    probes: tuple[Probe, ...] = ()

    @cached_property
    def key(self) -> str:
        """Hash of the facts above and of nothing else (no path, host, device or runner)."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

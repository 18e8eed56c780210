"""What is to be trained: the facts of a trial, and the key that is their hash."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)


class FrozenModel(BaseModel):
    """A frozen set of facts: equal facts are equal objects, and unknown facts are errors.

    Attributes:
        later: names of the facts that older trials did not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[tuple[str, ...]] = ()

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the facts, without later ones that are not used: keys of older trials stay.

        This is no serializer of pydantic: an interrupt inside of one would become its error.
        """
        return self._without_unused(super().model_dump(**options))

    def _without_unused(self, facts: dict[str, Any]) -> dict[str, Any]:
        for name in facts.keys() & type(self).model_fields.keys():
            value = getattr(self, name)
            if isinstance(value, FrozenModel):
                value._without_unused(facts[name])
            elif name in self.later and value == type(self).model_fields[name].default:
                del facts[name]
        return facts

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, whose cached properties (the key of a trial) are its own."""
        copy = super().model_copy(update=update, deep=deep)
        fields = type(self).model_fields
        for name in [name for name in copy.__dict__ if name not in fields]:
            del copy.__dict__[name]
        return copy


class DataFacts(FrozenModel):
    """Which examples a trial sees, and which of them were replaced by noise.

    Attributes:
        fingerprint: SHA-256 of the clean source; a name or path is no fact of a trial.
        train: number of training examples, class-balanced.
        validation: number of validation examples, class-balanced, clean, disjoint from training.
        inputs: fraction of training inputs replaced by Gaussian noise (randX).
        labels: fraction of training labels replaced by uniform random ones (randY).
        seed: draws the subset and the corruption.
        downsample: side of the squares of pixels that are averaged into one, before corruption.
        unique_labels: every training example is a class of its own (A17 Figure 3, right): as many
            classes as training examples, whatever the data set's labels.
        test: SHA-256 of the source's test split, if validation examples come from it; None if they
            come from the training split.
    """

    later = ("test",)

    fingerprint: str
    train: int = Field(gt=0)
    validation: int = Field(ge=0)
    inputs: float = Field(default=0.0, ge=0, le=1)
    labels: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0
    downsample: int = Field(default=1, gt=0)
    unique_labels: bool = False
    test: str | None = None

    @model_validator(mode="after")
    def _unique_labels_stand_alone(self) -> Self:
        if self.unique_labels and (self.labels > 0 or self.validation > 0):
            raise ValueError("unique labels allow neither label noise nor validation examples")
        return self

    def seen_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an input as the network sees it, from that of the source."""
        if self.downsample == 1:
            return shape
        *channels, height, width = shape
        return (*channels, height // self.downsample, width // self.downsample)

    def outputs(self, classes: int) -> int:
        """Return how many classes the network tells apart, from those of the source."""
        return self.train if self.unique_labels else classes


class MLP(FrozenModel):
    """A multilayer perceptron with ReLU hidden layers, Glorot-uniform weights and zero biases."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...]

    @property
    def name(self) -> str:
        """Short name: the widths."""
        return "-".join(str(width) for width in self.hidden)


class CNN(FrozenModel):
    """The papers' small Alexnet-style network: convolutions, then dense layers.

    Each convolution keeps the size of its input and is followed by batch norm, ReLU and a max pool;
    each dense hidden layer by batch norm and ReLU. Glorot-uniform weights, zero biases.

    Attributes:
        channels: filters of each convolution.
        dense: widths of the hidden dense layers.
        kernel: side of the filters.
        pool: side of the pooling squares.
        stride: between pooling squares.
        crop: pixels cut from every side of the input first.
    """

    kind: Literal["cnn"] = "cnn"
    channels: tuple[int, ...]
    dense: tuple[int, ...]
    kernel: int = Field(default=5, gt=0)
    pool: int = Field(default=3, gt=0)
    stride: int = Field(default=2, gt=0)
    crop: int = Field(default=0, ge=0)

    @property
    def name(self) -> str:
        """Short name: the filters and the dense widths."""
        conv = "-".join(str(count) for count in self.channels)
        dense = "-".join(str(width) for width in self.dense)
        return f"conv {conv}, dense {dense}" if dense else f"conv {conv}"


class Foreign(FrozenModel):
    """A user's own network.

    Attributes:
        factory: "module:callable", which returns a fresh ``nn.Module``.
        fingerprint: hash of what it returned: names and shapes of its parameters and buffers, and
            the layers it is made of.
    """

    kind: Literal["foreign"] = "foreign"
    factory: str
    fingerprint: str

    @property
    def name(self) -> str:
        """Short name: that of the factory."""
        return self.factory


Network = Annotated[MLP | CNN | Foreign, Field(discriminator="kind")]


class Algorithm(FrozenModel):
    """The papers' "learning algorithm": network, optimizer, schedule and stopping rule.

    Attributes:
        network: what is trained.
        learning_rate: step size; per replica.
        momentum: heavy-ball coefficient (PyTorch's convention); per replica.
        weight_decay: L2 coefficient added to the gradient; per replica.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        epochs: the budget.
        decay_every: multiply the learning rate by ``decay`` every so many epochs.
        decay: the factor of the step schedule.
        optimizer: "sgd" or "adamw"; weight decay is decoupled in AdamW.
        cosine: the learning rate falls to 0 as a cosine, in place of the step schedule.
        warm_up: epochs in which the learning rate rises first.
        label_smoothing: share of the label that goes to all classes alike.
        balanced: weight classes by the inverse of their size.
        augment: changes of the images; see :class:`byheart.training.recipe.Recipe`.
        dropout: rate of dropout on hidden layers; per replica.
        input_dropout: rate of dropout on inputs; per replica.
        input_noise: standard deviation of Gaussian noise added to inputs; per replica.
        hidden_noise: the same for hidden layers, after the ReLU; per replica.
        adversarial_weight: share of the loss that is taken on critical samples found during
            training; per replica.
        adversarial_radius: radius of the box they are sought in, on the input scale [0, 1].
        stop: "budget" trains all epochs, "converged" ends at 100% training accuracy, "loss" at a
            training loss of ``stop_loss``.
        stop_loss: mean cross-entropy on the training set at which "loss" ends.
    """

    later = ("optimizer", "cosine", "warm_up", "label_smoothing", "balanced", "augment")

    network: Network
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(gt=0)
    epochs: int = Field(gt=0)
    decay_every: int | None = Field(default=None, gt=0)
    decay: float = Field(default=0.5, gt=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    input_noise: float = Field(default=0.0, ge=0)
    hidden_noise: float = Field(default=0.0, ge=0)
    adversarial_weight: float = Field(default=0.0, ge=0, le=1)
    adversarial_radius: float = Field(default=0.0, ge=0)
    stop: Literal["budget", "converged", "loss"] = "budget"
    stop_loss: float | None = Field(default=None, gt=0)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    cosine: bool = False
    warm_up: int = Field(default=0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    balanced: bool = False
    augment: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _loss_to_stop_at(self) -> Self:
        if (self.stop == "loss") != (self.stop_loss is not None):
            raise ValueError("stop_loss goes with stop='loss', and only with it")
        return self

    @model_validator(mode="after")
    def _radius_to_search_in(self) -> Self:
        if self.adversarial_weight > 0 and self.adversarial_radius == 0:
            raise ValueError("adversarial_weight needs an adversarial_radius above 0")
        return self


class Measure(FrozenModel):
    """What is measured while a trial trains.

    Attributes:
        at_end: measured once, on networks that reached the end of their training, not at epochs.
        epochs: when it is measured otherwise.
    """

    at_end: ClassVar[bool] = False
    epochs: tuple[int, ...] = ()


class AccuracyProbe(Measure):
    """Training accuracy (all, clean and noisy examples), training loss and validation accuracy."""

    name: Literal["accuracy"] = "accuracy"
    version: Literal[1] = 1


class CorrectProbe(Measure):
    """Which training examples the network classifies as labelled: one bit per example."""

    name: Literal["correct"] = "correct"
    version: Literal[1] = 1


class CriticalProbe(Measure):
    """Critical sample ratio on validation and training examples: both sides of its bracket.

    Attributes:
        radii: radii of the box for validation examples, ascending, on the input scale [0, 1].
        train_radii: the same for training examples.
        examples: how many validation examples, and how many training examples, are searched.
        max_steps: iteration limit of the search per radius.
        certify_epochs: when the certificate bounds the ratio from above, among ``epochs``.
        certify_radii: at which radii it does; if the last of ``epochs`` is among them, at every
            radius then.
        certify_examples: how many of the searched examples, the first ones, it looks at.
    """

    name: Literal["critical"] = "critical"
    version: Literal[3] = 3
    radii: tuple[float, ...]
    train_radii: tuple[float, ...] = ()
    examples: int = Field(gt=0)
    max_steps: int = Field(gt=0)
    certify_epochs: tuple[int, ...] = ()
    certify_radii: tuple[float, ...] = ()
    certify_examples: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _examples_to_certify(self) -> Self:
        if self.certify_epochs and not 0 < self.certify_examples <= self.examples:
            raise ValueError("certify_examples must be 1 or more, and no more than examples")
        return self


class SharpnessProbe(Measure):
    """The Hessian of the training loss where training ended: its largest eigenvalue, three ways.

    Attributes:
        tolerance: largest relative residual of an eigenvalue.
        max_iterations: limit on products with the Hessian, for each eigenvalue.
        online_iterations: of the workshop's on-line estimator; 0 leaves it out.
        online_batch_size: examples per gradient of the on-line estimator.
    """

    at_end: ClassVar[bool] = True
    name: Literal["sharpness"] = "sharpness"
    version: Literal[2] = 2
    tolerance: float = Field(default=1e-3, gt=0, lt=1)
    max_iterations: int = Field(gt=0)
    online_iterations: int = Field(ge=0)
    online_batch_size: int = Field(default=32, gt=0)


class FiltersProbe(Measure):
    """The weights of the filters of the first convolution."""

    name: Literal["filters"] = "filters"
    version: Literal[1] = 1


class SensitivityProbe(Measure):
    """Loss-sensitivity of every training example, through the whole training; stands alone.

    Attributes:
        evaluate_at: update counts at which it is measured, ascending.
        per_class_at: those of them at which it is measured by class as well.
    """

    name: Literal["sensitivity"] = "sensitivity"
    version: Literal[1] = 1
    evaluate_at: tuple[int, ...] = Field(min_length=1)
    per_class_at: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        times = self.evaluate_at
        if times[0] < 0 or any(a >= b for a, b in itertools.pairwise(times)):
            raise ValueError("evaluate_at must be ascending update counts from 0")
        if not set(self.per_class_at) <= set(times):
            raise ValueError("per_class_at must be among evaluate_at")
        return self


Probe = Annotated[
    AccuracyProbe | CorrectProbe | CriticalProbe | SharpnessProbe | FiltersProbe | SensitivityProbe,
    Field(discriminator="name"),
]


class Trial(FrozenModel):
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

"""The numbers that each study needs and the data do not give: examples, epochs, levels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from byheart.trial import Algorithm, FrozenModel, Network

NetworkKind = Literal["mlp", "cnn"]


class TrainingSetting(FrozenModel):
    """What every study sets: the number of training examples, and how networks train on them.

    Attributes:
        momentum: heavy-ball coefficient of SGD.
        decay_every: epochs after which the learning rate is halved; None keeps it.
    """

    train: int
    learning_rate: float
    batch_size: int
    momentum: float = 0.0
    decay_every: int | None = None

    def algorithm(self, network: Network, epochs: int, **more: Any) -> Algorithm:
        """Return the algorithm that trains a network with these numbers; ``more`` is its own."""
        return Algorithm(
            network=network,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            momentum=self.momentum,
            decay_every=self.decay_every,
            epochs=epochs,
            **more,
        )


class ExampleSetting(TrainingSetting):
    """Figure 1: many initialisations on each of a few draws of the data."""

    hidden: tuple[int, ...]
    initialisations: int


class DynamicsSetting(TrainingSetting):
    """Figures 7, 8 and 9: accuracy and critical samples while a network trains on noise.

    Attributes:
        critical_examples: searched for critical samples, of validation and training each.
        certified_examples: how many of these the certificate looks at; 0 leaves it out.
        certified_checkpoints: at how many of the last searches; None for all but the early ones.
    """

    validation: int
    hidden: tuple[int, ...]
    epochs: int
    levels: tuple[float, ...]
    checkpoints: int
    radii: tuple[float, ...]
    radius: float
    critical_checkpoints: int
    critical_examples: int
    certified_examples: int
    max_steps: int
    certified_checkpoints: int | None = None


class TimeSetting(TrainingSetting):
    """Figure 6 and the workshop's (2): time to convergence by kind, width and examples.

    Attributes:
        widths: tried on ``width_train`` examples.
        train: examples for the order of the kinds, with ``width`` units.
        sizes: numbers of examples tried with ``width`` units.
    """

    epochs: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]
    width_train: int
    sizes: tuple[int, ...]
    width: int


class WidthSetting(TrainingSetting):
    """Figure 5: validation accuracy by width, on noisy training sets.

    Attributes:
        epochs: all of them are trained.
        checkpoints: how often accuracy is measured; the best of them counts.
    """

    validation: int
    epochs: int
    checkpoints: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]


class CapacitySetting(TrainingSetting):
    """The workshop's (1) and A17's effective capacity: who reaches 100% training accuracy at all.

    Attributes:
        widths: tried on ``train`` examples, for ``width_epochs`` at most.
        smallest: the fewest examples tried with ``width`` units, for ``size_epochs`` at most.
        largest: the most.
        rounds: of the bisection between them, whose grid has 2^rounds - 1 sizes.
    """

    widths: tuple[int, ...]
    width_epochs: int
    smallest: int
    largest: int
    rounds: int = Field(ge=2)
    width: int
    size_epochs: int


class FilterSetting(TrainingSetting):
    """Figure 2: the first filters of a CNN. Where studies train CNNs, all have its architecture.

    Attributes:
        crop: pixels cut from every side of inputs of 32 pixels a side or more.
        checkpoints: about how many epochs the filters are looked at, beside the first.
    """

    channels: tuple[int, ...]
    dense: tuple[int, ...]
    kernel: int
    pool: int
    crop: int
    epochs: int
    checkpoints: int


class SharpnessSetting(TrainingSetting):
    """The workshop's (3): sharpness at convergence against the level of noise.

    Attributes:
        epochs: after which it is measured in the reading "a fixed number of epochs".
        limit: of epochs for the other two readings; who is not there by then is censored.
        loss: training loss of the reading "the same training loss".
        tolerance: tolerance of an eigenvalue.
        max_iterations: products with the Hessian per eigenvalue.
        online_iterations: of the workshop's own estimator.
    """

    hidden: tuple[int, ...]
    levels: tuple[float, ...]
    epochs: int
    limit: int
    loss: float
    tolerance: float
    max_iterations: int
    online_iterations: int


class RegularizerSetting(TrainingSetting):
    """Figures 10 and 11: regularizers by strength, on real and on random labels.

    Attributes:
        checkpoints: how often accuracy is measured; "best" is the best of them.
        dropout: rates.
        input_dropout: rates.
        input_noise: standard deviations.
        hidden_noise: standard deviations.
        weight_decay: coefficients.
        adversarial: weights of the critical samples in the loss, each with a rate of dropout.
        adversarial_radius: of the box in which critical samples are sought.
    """

    validation: int
    hidden: tuple[int, ...]
    epochs: int
    checkpoints: int
    dropout: tuple[float, ...]
    input_dropout: tuple[float, ...]
    input_noise: tuple[float, ...]
    hidden_noise: tuple[float, ...]
    weight_decay: tuple[float, ...]
    adversarial: tuple[tuple[float, float], ...]
    adversarial_radius: float


class SensitivitySetting(TrainingSetting):
    """Figures 3 and 4: loss-sensitivity through all of training by plain SGD.

    Attributes:
        pixels: images are averaged down to about so many pixels a side.
        updates: steps, at the last of which training ends.
        evaluations: how often loss-sensitivity is measured, evenly spaced.
        per_class: how often by class as well, evenly spaced.
        unique_learning_rate: where every example is a class of its own; so all with "unique".
        unique_updates: steps there.
        unique_evaluations: how often it is measured there.
    """

    pixels: int
    hidden: tuple[int, ...]
    updates: int
    evaluations: int
    per_class: int
    unique_learning_rate: float
    unique_updates: int
    unique_evaluations: int


class Preset(FrozenModel):
    """All numbers of a run that are not facts of the data.

    Attributes:
        network: what the studies train; loss-sensitivity has the papers' small MLP in any case.
            Where it is "cnn", a width is the number of filters of the first convolution.
    """

    name: str
    default_data: str
    seeds: int
    network: NetworkKind = "mlp"
    examples: ExampleSetting
    filters: FilterSetting
    dynamics: DynamicsSetting
    time: TimeSetting
    width: WidthSetting
    capacity: CapacitySetting
    sharpness: SharpnessSetting
    regularizers: RegularizerSetting
    sensitivity: SensitivitySetting

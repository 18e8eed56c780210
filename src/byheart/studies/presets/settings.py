"""The numbers that each study takes from a preset."""

from __future__ import annotations

from pydantic import Field

from byheart.trial import FrozenModel


class ExampleSetting(FrozenModel):
    """Figure 1: many initialisations on each of a few draws of the data."""

    train: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    initialisations: int


class DynamicsSetting(FrozenModel):
    """Figures 7, 8 and 9: accuracy and critical samples while a network trains on noise.

    Attributes:
        critical_examples: searched for critical samples, of validation and training each.
        certified_examples: how many of these the certificate looks at; 0 leaves it out.
    """

    train: int
    validation: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    epochs: int
    levels: tuple[float, ...]
    checkpoints: int
    radii: tuple[float, ...]
    radius: float
    critical_checkpoints: int
    critical_examples: int
    certified_examples: int
    max_steps: int


class TimeSetting(FrozenModel):
    """Figure 6 and the workshop's (2): time to convergence by kind, width and examples.

    Attributes:
        widths: tried on ``width_train`` examples.
        train: examples for the order of the kinds, with ``width`` units.
        sizes: numbers of examples tried with ``width`` units.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]
    width_train: int
    train: int
    sizes: tuple[int, ...]
    width: int


class WidthSetting(FrozenModel):
    """Figure 5: validation accuracy by width, on noisy training sets.

    Attributes:
        epochs: all of them are trained.
        checkpoints: how often accuracy is measured; the best of them counts.
    """

    train: int
    validation: int
    learning_rate: float
    batch_size: int
    epochs: int
    checkpoints: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]


class CapacitySetting(FrozenModel):
    """The workshop's (1) and A17's effective capacity: who reaches 100% training accuracy at all.

    Attributes:
        widths: tried on ``train`` examples, for ``width_epochs`` at most.
        smallest: the fewest examples tried with ``width`` units, for ``size_epochs`` at most.
        largest: the most.
        rounds: of the bisection between them, whose grid has 2^rounds - 1 sizes.
    """

    learning_rate: float
    batch_size: int
    widths: tuple[int, ...]
    train: int
    width_epochs: int
    smallest: int
    largest: int
    rounds: int = Field(ge=2)
    width: int
    size_epochs: int


class FilterSetting(FrozenModel):
    """Figure 2: the first filters of a CNN.

    Attributes:
        crop: pixels cut from every side of inputs of 32 pixels a side or more.
        decay_every: epochs after which the learning rate is halved.
        checkpoints: about how many epochs the filters are looked at, beside the first.
    """

    train: int
    channels: tuple[int, ...]
    dense: tuple[int, ...]
    kernel: int
    pool: int
    crop: int
    learning_rate: float
    momentum: float
    decay_every: int
    batch_size: int
    epochs: int
    checkpoints: int


class SharpnessSetting(FrozenModel):
    """The workshop's (3): sharpness at convergence against the level of noise.

    Attributes:
        epochs: after which it is measured in the reading "a fixed number of epochs".
        limit: of epochs for the other two readings; who is not there by then is censored.
        loss: training loss of the reading "the same training loss".
        tolerance: of an eigenvalue.
        max_iterations: products with the Hessian per eigenvalue.
        online_iterations: of the workshop's own estimator.
    """

    train: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    levels: tuple[float, ...]
    epochs: int
    limit: int
    loss: float
    tolerance: float
    max_iterations: int
    online_iterations: int


class RegularizerSetting(FrozenModel):
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

    train: int
    validation: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    epochs: int
    checkpoints: int
    dropout: tuple[float, ...]
    input_dropout: tuple[float, ...]
    input_noise: tuple[float, ...]
    hidden_noise: tuple[float, ...]
    weight_decay: tuple[float, ...]
    adversarial: tuple[tuple[float, float], ...]
    adversarial_radius: float


class SensitivitySetting(FrozenModel):
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

    train: int
    pixels: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    updates: int
    evaluations: int
    per_class: int
    unique_learning_rate: float
    unique_updates: int
    unique_evaluations: int


class Preset(FrozenModel):
    """All numbers of a run that are not facts of the data."""

    name: str
    default_data: str
    seeds: int
    examples: ExampleSetting
    filters: FilterSetting
    dynamics: DynamicsSetting
    time: TimeSetting
    width: WidthSetting
    capacity: CapacitySetting
    sharpness: SharpnessSetting
    regularizers: RegularizerSetting
    sensitivity: SensitivitySetting


def log_spaced(last: int, count: int) -> tuple[int, ...]:
    """Return about ``count`` distinct whole numbers from 1 to ``last``, evenly in their log."""
    return tuple(sorted({round(last ** (i / (count - 1))) for i in range(count)}))

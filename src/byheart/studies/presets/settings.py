"""The numbers that each study takes from a preset."""

from __future__ import annotations

from byheart.trial import Facts


class ExampleSetting(Facts):
    """Figure 1: many initialisations on each of a few draws of the data."""

    train: int
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    initialisations: int


class DynamicsSetting(Facts):
    """Figures 7, 8 and 9: accuracy and critical samples while a network trains on noise."""

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
    max_steps: int


class TimeSetting(Facts):
    """Figure 6 and the workshop's (2): time to convergence by kind, width and examples."""

    learning_rate: float
    batch_size: int
    epochs: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]
    train: int
    sizes: tuple[int, ...]
    width: int


class CapacitySetting(Facts):
    """The workshop's (1) and A17's effective capacity: who reaches 100% training accuracy at all.

    Attributes:
        widths: tried on ``train`` examples, for ``width_epochs`` at most.
        sizes: tried with ``width`` units, for ``size_epochs`` at most.
    """

    learning_rate: float
    batch_size: int
    widths: tuple[int, ...]
    train: int
    width_epochs: int
    sizes: tuple[int, ...]
    width: int
    size_epochs: int


class Preset(Facts):
    """All numbers of a run that are not facts of the data."""

    name: str
    default_data: str
    seeds: int
    examples: ExampleSetting
    dynamics: DynamicsSetting
    time: TimeSetting
    capacity: CapacitySetting


def log_spaced(last: int, count: int) -> tuple[int, ...]:
    """Return about ``count`` distinct whole numbers from 1 to ``last``, evenly in their log."""
    return tuple(sorted({round(last ** (i / (count - 1))) for i in range(count)}))

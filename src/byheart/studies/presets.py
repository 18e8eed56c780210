"""The three sizes of every study: quick on digits, desk on MNIST, paper with the papers' numbers."""

from __future__ import annotations

from byheart.errors import choose
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
    """Figure 6 and the workshop's (1) and (2): time to convergence, and who converges at all."""

    learning_rate: float
    batch_size: int
    epochs: int
    levels: tuple[float, ...]
    widths: tuple[int, ...]
    train: int
    sizes: tuple[int, ...]
    width: int
    small_widths: tuple[int, ...]
    small_train: int
    fit_sizes: tuple[int, ...]
    fit_width: int
    fit_epochs: int


class Preset(Facts):
    """All numbers of a run that are not facts of the data."""

    name: str
    default_data: str
    seeds: int
    examples: ExampleSetting
    dynamics: DynamicsSetting
    time: TimeSetting

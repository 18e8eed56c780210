"""The three sizes of a study: quick on digits, desk on MNIST, paper with the papers' numbers."""

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


QUICK = Preset(
    name="quick",
    default_data="digits",
    seeds=10,
    examples=ExampleSetting(
        train=500, hidden=(64, 64), learning_rate=0.1, batch_size=32, initialisations=100
    ),
    dynamics=DynamicsSetting(
        train=500,
        validation=500,
        hidden=(128, 128),
        learning_rate=0.1,
        batch_size=32,
        epochs=150,
        levels=(0.0, 0.25, 0.5, 0.75, 1.0),
        checkpoints=16,
        radii=(1 / 765, 1 / 255, 3 / 255),
        radius=1 / 255,
        critical_checkpoints=8,
        critical_examples=200,
        max_steps=12,
    ),
    time=TimeSetting(
        learning_rate=0.1,
        batch_size=32,
        epochs=300,
        levels=(0.0, 0.5, 1.0),
        widths=(32, 64, 128, 256),
        train=500,
        sizes=(120, 250, 500, 1000),
        width=128,
    ),
    capacity=CapacitySetting(
        learning_rate=0.1,
        batch_size=32,
        widths=(4, 6, 8, 12, 16, 24, 32),
        train=250,
        width_epochs=300,
        sizes=(60, 90, 120, 180, 250, 350, 500, 700),
        width=16,
        size_epochs=400,
    ),
)

DESK = Preset(
    name="desk",
    default_data="mnist",
    seeds=10,
    examples=ExampleSetting(
        train=1000, hidden=(256, 256), learning_rate=0.1, batch_size=32, initialisations=100
    ),
    dynamics=DynamicsSetting(
        train=1000,
        validation=1000,
        hidden=(256, 256),
        learning_rate=0.01,
        batch_size=32,
        epochs=250,
        levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        checkpoints=20,
        radii=(0.1 / 255, 0.3 / 255, 0.9 / 255),
        radius=0.3 / 255,
        critical_checkpoints=9,
        critical_examples=500,
        max_steps=10,
    ),
    time=TimeSetting(
        learning_rate=0.01,
        batch_size=32,
        epochs=600,
        levels=(0.0, 0.5, 1.0),
        widths=(64, 128, 256, 512),
        train=1000,
        sizes=(250, 500, 1000, 2000),
        width=256,
    ),
    capacity=CapacitySetting(
        learning_rate=0.1,
        batch_size=32,
        widths=(4, 6, 8, 12, 16, 24, 32, 48, 64),
        train=1000,
        width_epochs=200,
        sizes=(125, 250, 350, 500, 700, 1000, 1400, 2000, 2800),
        width=16,
        size_epochs=200,
    ),
)

PAPER = Preset(
    name="paper",
    default_data="mnist",
    seeds=10,
    examples=ExampleSetting(
        train=1000, hidden=(4096, 4096), learning_rate=0.01, batch_size=128, initialisations=100
    ),
    dynamics=DynamicsSetting(
        train=50_000,
        validation=10_000,
        hidden=(4096, 4096),
        learning_rate=0.01,
        batch_size=128,
        epochs=1000,
        levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        checkpoints=30,
        radii=(0.1 / 255, 0.3 / 255, 0.9 / 255),
        radius=0.3 / 255,
        critical_checkpoints=15,
        critical_examples=10_000,
        max_steps=100,
    ),
    time=TimeSetting(
        learning_rate=0.01,
        batch_size=128,
        epochs=1000,
        levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        widths=(256, 512, 1024, 2048, 4096),
        train=50_000,
        sizes=(1000, 5000, 10_000, 25_000, 50_000),
        width=4096,
    ),
    capacity=CapacitySetting(
        learning_rate=0.01,
        batch_size=128,
        widths=(16, 32, 64, 128, 256, 512, 1024),
        train=50_000,
        width_epochs=1000,
        sizes=(1000, 2500, 5000, 10_000, 25_000, 50_000),
        width=256,
        size_epochs=200,
    ),
)

PRESETS = {preset.name: preset for preset in (QUICK, DESK, PAPER)}


def find_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        InputError: no such preset.
    """
    return PRESETS[choose("preset", name, PRESETS)]

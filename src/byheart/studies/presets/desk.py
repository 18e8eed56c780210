"""Every claim on real MNIST, in an hour or so on two cores."""

from __future__ import annotations

from byheart.studies.presets.settings import (
    CapacitySetting,
    DynamicsSetting,
    ExampleSetting,
    Preset,
    TimeSetting,
)

DESK = Preset(
    name="desk",
    default_data="mnist",
    seeds=12,
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

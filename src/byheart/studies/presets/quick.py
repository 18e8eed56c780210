"""Every claim on the embedded digits, in minutes on two cores."""

from __future__ import annotations

from byheart.studies.presets.settings import (
    CapacitySetting,
    DynamicsSetting,
    ExampleSetting,
    Preset,
    TimeSetting,
)

QUICK = Preset(
    name="quick",
    default_data="digits",
    seeds=12,
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

"""The papers' own numbers, for GPUs."""

from __future__ import annotations

from byheart.studies.presets.settings import (
    CapacitySetting,
    DynamicsSetting,
    ExampleSetting,
    Preset,
    TimeSetting,
)

PAPER = Preset(
    name="paper",
    default_data="mnist",
    seeds=12,
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

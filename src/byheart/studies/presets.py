"""The three sizes of a study: quick on digits, desk on MNIST, paper with the papers' numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from byheart.errors import choose
from byheart.studies.settings import NetworkKind, Preset


def _pairs(weights: Sequence[float], rates: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple(itertools.product(weights, rates))


# fmt: off
_TABLE: Mapping[str, Mapping[str, tuple[Any, Any, Any]]] = {
    #                                 quick                  desk                   paper
    "examples": {
        "train":                (500,                   1000,                  1000),
        "hidden":               ((64, 64),              (256, 256),            (4096, 4096)),
        "learning_rate":        (0.1,                   0.1,                   0.01),
        "batch_size":           (32,                    32,                    128),
        "initialisations":      (100,                   100,                   100),
    },
    "filters": {
        "train":                (500,                   1000,                  50_000),
        "channels":             ((16, 32),              (16, 32),              (200, 200)),
        "dense":                ((32,),                 (64,),                 (384, 192)),
        "kernel":               (5,                     5,                     5),
        "pool":                 (2,                     3,                     3),
        "crop":                 (2,                     2,                     2),
        "learning_rate":        (0.01,                  0.01,                  0.01),
        "momentum":             (0.9,                   0.9,                   0.9),
        "decay_every":          (15,                    15,                    15),
        "batch_size":           (32,                    32,                    128),
        "epochs":               (30,                    30,                    100),
        "checkpoints":          (8,                     8,                     10),
    },
    "dynamics": {
        "train":                (500,                   1000,                  50_000),
        "validation":           (500,                   1000,                  4000),
        "hidden":               ((128, 128),            (256, 256),            (4096, 4096)),
        "learning_rate":        (0.1,                   0.01,                  0.01),
        "batch_size":           (32,                    32,                    128),
        "epochs":               (150,                   250,                   1000),
        "levels": (
                                 (0.0, 0.25, 0.5, 0.75, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        ),
        "checkpoints":          (16,                    20,                    30),
        "radii": (
                                 (1 / 765, 1 / 255, 3 / 255),
                                 (0.1 / 255, 0.3 / 255, 0.9 / 255),
                                 (0.1 / 255, 0.3 / 255, 0.9 / 255),
        ),
        "radius":               (1 / 255,               0.3 / 255,             0.3 / 255),
        "critical_checkpoints": (8,                     9,                     15),
        "critical_examples":    (200,                   500,                   4000),
        "certified_examples":   (50,                    100,                   200),
        "max_steps":            (12,                    10,                    100),
    },
    "time": {
        "learning_rate":        (0.1,                   0.01,                  0.01),
        "batch_size":           (32,                    32,                    128),
        "epochs":               (300,                   600,                   1000),
        "levels": (
                                 (0.0, 0.5, 1.0),
                                 (0.0, 0.5, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        ),
        "widths": (
                                 (32, 64, 128, 256),
                                 (64, 256, 1024, 4096),
                                 (256, 512, 1024, 2048, 4096),
        ),
        "width_train":          (500,                   250,                   50_000),
        "train":                (500,                   1000,                  50_000),
        "sizes": (
                                 (120, 250, 500, 1000),
                                 (250, 500, 1000, 2000),
                                 (1000, 5000, 10_000, 25_000, 50_000),
        ),
        "width":                (128,                   256,                   4096),
    },
    "width": {
        "train":                (300,                   500,                   50_000),
        "validation":           (1400,                  2000,                  4000),
        "learning_rate":        (0.1,                   0.1,                   0.01),
        "batch_size":           (32,                    32,                    128),
        "epochs":               (50,                    40,                    1000),
        "checkpoints":          (10,                    10,                    30),
        "levels": (
                                 (0.0, 0.4, 0.8),
                                 (0.0, 0.4, 0.8),
                                 (0.0, 0.2, 0.4, 0.6, 0.8),
        ),
        "widths": (
                                 (8, 16, 32, 64, 128),
                                 (8, 16, 32, 64, 128, 256, 512),
                                 (64, 256, 1024, 4096, 8192),
        ),
    },
    "capacity": {
        "learning_rate":        (0.1,                   0.1,                   0.01),
        "batch_size":           (32,                    32,                    128),
        "widths": (
                                 (4, 6, 8, 12, 16, 24, 32),
                                 (4, 6, 8, 12, 16, 24, 32, 48, 64),
                                 (16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
        ),
        "train":                (250,                   1000,                  50_000),
        "width_epochs":         (300,                   200,                   1000),
        "smallest":             (25,                    125,                   1000),
        "largest":              (1600,                  4000,                  50_000),
        "rounds":               (4,                     4,                     5),
        "width":                (10,                    12,                    256),
        "size_epochs":          (250,                   200,                   200),
    },
    "sharpness": {
        "train":                (200,                   1000,                  50_000),
        "hidden":               ((64, 64),              (128, 128),            (4096, 4096)),
        "learning_rate":        (0.1,                   0.1,                   0.01),
        "batch_size":           (32,                    32,                    128),
        "levels": (
                                 (0.0, 0.25, 0.5, 1.0),
                                 (0.0, 0.25, 0.5, 0.75, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        ),
        "epochs":               (100,                   60,                    1000),
        "limit":                (600,                   300,                   2000),
        "loss":                 (0.01,                  0.01,                  0.01),
        "tolerance":            (0.001,                 0.001,                 0.001),
        "max_iterations":       (60,                    100,                   100),
        "online_iterations":    (100,                   300,                   1000),
    },
    "regularizers": {
        "train":                (160,                   500,                   50_000),
        "validation":           (1000,                  2000,                  4000),
        "hidden":               ((64, 64),              (128, 128),            (4096, 4096)),
        "learning_rate":        (0.2,                   0.1,                   0.01),
        "batch_size":           (32,                    32,                    128),
        "epochs":               (120,                   100,                   1000),
        "checkpoints":          (12,                    16,                    30),
        "dropout": (
                                 (0.2, 0.4, 0.6, 0.7),
                                 (0.4, 0.6, 0.7, 0.8),
                                 (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
        "input_dropout": (
                                 (0.1, 0.2, 0.3, 0.5),
                                 (0.4, 0.6, 0.8, 0.9),
                                 (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
        "input_noise": (
                                 (0.2, 0.3, 0.4, 0.8),
                                 (0.4, 0.8, 1.2, 1.6),
                                 (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
        ),
        "hidden_noise": (
                                 (0.03, 0.1, 0.3),
                                 (0.03, 0.1, 0.3),
                                 (0.01, 0.03, 0.06, 0.1, 0.2, 0.3),
        ),
        "weight_decay": (
                                 (0.003, 0.006, 0.01, 0.03),
                                 (0.01, 0.02, 0.03, 0.05),
                                 (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        ),
        "adversarial": (
                                 ((0.5, 0.4), (0.5, 0.6), (0.5, 0.7)),
                                 ((0.5, 0.6), (0.5, 0.7), (0.5, 0.8)),
                                 _pairs((0.2, 0.45, 0.7), (0.03, 0.1, 0.25, 0.5)),
        ),
        "adversarial_radius":   (32 / 255,              8 / 255,               0.3 / 255),
    },
    "sensitivity": {
        "train":                (250,                   1000,                  1000),
        "pixels":               (14,                    14,                    14),
        "hidden":               ((16, 16),              (16, 16),              (16, 16)),
        "learning_rate":        (0.1,                   0.1,                   0.1),
        "batch_size":           (25,                    50,                    50),
        "updates":              (500,                   2000,                  10_000),
        "evaluations":          (8,                     40,                    50),
        "per_class":            (2,                     4,                     10),
        "unique_learning_rate": (0.1,                   0.1,                   0.1),
        "unique_updates":       (1500,                  5000,                  10_000),
        "unique_evaluations":   (5,                     8,                     25),
    },
}

_CNN_TABLE: Mapping[str, Mapping[str, tuple[Any, Any, Any]]] = {
    #                                 quick                  desk                   paper
    "examples": {
        "train":                (300,                   300,                   1000),
    },
    "filters": {
        "train":                (300,                   1000,                  50_000),
        "channels":             ((8, 16),               (32, 64),              (200, 200)),
        "dense":                ((32,),                 (128,),                (384, 192)),
        "pool":                 (3,                     3,                     3),
    },
    "dynamics": {
        "train":                (300,                   2000,                  50_000),
        "validation":           (300,                   1000,                  10_000),
        "epochs":               (30,                    40,                    100),
        "levels": (
                                 (0.0, 0.4, 0.8, 1.0),
                                 (0.0, 0.2, 0.4, 0.8, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        ),
        "checkpoints":          (12,                    12,                    30),
        "radii": (
                                 (0.1 / 255, 0.3 / 255, 0.9 / 255),
                                 (0.1 / 255, 0.3 / 255, 0.9 / 255),
                                 (0.1 / 255, 0.3 / 255, 0.9 / 255),
        ),
        "radius":               (0.3 / 255,             0.3 / 255,             0.3 / 255),
        "critical_checkpoints": (6,                     7,                     15),
        "critical_examples":    (100,                   100,                   4000),
        "certified_examples":   (0,                     10,                    200),
        "certified_checkpoints": (1,                    1,                     1),
        "max_steps":            (6,                     6,                     100),
    },
    "time": {
        "epochs":               (60,                    100,                   200),
        "widths": (
                                 (2, 4, 8, 16),
                                 (4, 8, 16, 32),
                                 (12, 25, 50, 100, 200),
        ),
        "width_train":          (200,                   500,                   50_000),
        "train":                (300,                   1000,                  50_000),
        "sizes": (
                                 (100, 200, 400, 800),
                                 (250, 500, 1000, 2000),
                                 (1000, 5000, 10_000, 25_000, 50_000),
        ),
        "width":                (8,                     32,                    200),
    },
    "width": {
        "train":                (300,                   300,                   50_000),
        "validation":           (500,                   1000,                  10_000),
        "epochs":               (25,                    40,                    100),
        "widths": (
                                 (1, 2, 4, 8),
                                 (2, 4, 8, 16, 32),
                                 (12, 25, 50, 100, 200),
        ),
    },
    "capacity": {
        "widths": (
                                 (1, 2, 3, 4, 6, 8),
                                 (1, 2, 3, 4, 6, 8, 12, 16),
                                 (4, 8, 16, 32, 64, 128, 200),
        ),
        "train":                (200,                   1000,                  50_000),
        "width_epochs":         (60,                    60,                    200),
        "smallest":             (25,                    125,                   1000),
        "largest":              (800,                   4000,                  50_000),
        "width":                (1,                     2,                     25),
        "size_epochs":          (60,                    60,                    200),
    },
    "sharpness": {
        "train":                (100,                   250,                   50_000),
        "levels": (
                                 (0.0, 0.25, 0.5, 1.0),
                                 (0.0, 0.5, 1.0),
                                 (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        ),
        "epochs":               (30,                    40,                    100),
        "limit":                (60,                    80,                    200),
        "tolerance":            (0.01,                  0.01,                  0.001),
        "max_iterations":       (40,                    40,                    100),
        "online_iterations":    (50,                    100,                   1000),
    },
    "regularizers": {
        "train":                (160,                   300,                   50_000),
        "validation":           (500,                   500,                   10_000),
        "epochs":               (30,                    30,                    100),
        "checkpoints":          (8,                     8,                     30),
        "dropout": (
                                 (0.3, 0.6),
                                 (0.3, 0.6),
                                 (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
        "input_dropout": (
                                 (0.2, 0.4),
                                 (0.2, 0.4),
                                 (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
        "input_noise": (
                                 (0.1, 0.3),
                                 (0.1, 0.3),
                                 (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
        ),
        "hidden_noise": (
                                 (0.1, 0.3),
                                 (0.1, 0.3),
                                 (0.01, 0.03, 0.06, 0.1, 0.2, 0.3),
        ),
        "weight_decay": (
                                 (0.01, 0.1),
                                 (0.01, 0.1),
                                 (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        ),
        "adversarial": (
                                 ((0.5, 0.3), (0.5, 0.6)),
                                 ((0.5, 0.3), (0.5, 0.6)),
                                 _pairs((0.2, 0.45, 0.7), (0.03, 0.1, 0.25, 0.5)),
        ),
        "adversarial_radius":   (8 / 255,               8 / 255,               0.3 / 255),
    },
}
"""What a CNN has other numbers for; each family also trains as in ``_CNN_TRAINING``."""

_CNN_TRAINING: Mapping[str, tuple[Any, Any, Any]] = {
        "learning_rate":        (0.01,                  0.01,                  0.01),
        "momentum":             (0.9,                   0.9,                   0.9),
        "decay_every":          (15,                    15,                    15),
        "batch_size":           (32,                    32,                    128),
}
# fmt: on


def _column(column: int, name: str, default_data: str, network: NetworkKind) -> Preset:
    """Return the preset in one column of the tables."""
    numbers = {
        family: {field: values[column] for field, values in {**rows, **_of_cnn(family)}.items()}
        if network == "cnn"
        else {field: values[column] for field, values in rows.items()}
        for family, rows in _TABLE.items()
    }
    return Preset.model_validate(
        {
            "name": name,
            "default_data": default_data,
            "seeds": SEEDS,
            "network": network,
            **numbers,
        }
    )


def _of_cnn(family: str) -> dict[str, tuple[Any, Any, Any]]:
    """Return the rows of a family that differ for a CNN."""
    return {**_CNN_TRAINING, **_CNN_TABLE[family]} if family in _CNN_TABLE else {}


SEEDS = 12
"""With 12 seeds the exact test can support any of the 27 claims."""
QUICK, DESK, PAPER = (
    _column(column, name, default_data, "mlp")
    for column, (name, default_data) in enumerate(
        {"quick": "digits", "desk": "mnist", "paper": "mnist"}.items()
    )
)
PRESETS = {preset.name: preset for preset in (QUICK, DESK, PAPER)}
_OF_CNN = {
    preset.name: _column(column, preset.name, preset.default_data, "cnn")
    for column, preset in enumerate(PRESETS.values())
}


def find_preset(name: str, network: NetworkKind = "mlp") -> Preset:
    """Return a preset by its name, with the numbers for an MLP or for a CNN.

    Raises:
        InputError: no such preset.
    """
    presets = PRESETS if network == "mlp" else _OF_CNN
    return presets[choose("preset", name, presets)]


def log_spaced(last: int, count: int) -> tuple[int, ...]:
    """Return about ``count`` distinct whole numbers from 1 to ``last``, evenly in their log."""
    return tuple(sorted({round(last ** (i / (count - 1))) for i in range(count)}))

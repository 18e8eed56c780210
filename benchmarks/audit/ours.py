"""The audit's own ranking, with its defaults but for how long and how fast it trains."""

from __future__ import annotations

from typing import Any

import numpy as np

import byheart
from benchmarks.audit.budget import EPOCHS, TRAININGS, recipe
from benchmarks.audit.cases import Case
from benchmarks.audit.scored import scored
from benchmarks.audit_data import NETWORKS
from byheart.auditing.rounds import HELD_OUT

LOOKING = 1 / 3
"""What looking at an example costs, beside training on it."""


def affordable(epochs: int) -> int:
    """Return how many epochs cost as much as ``epochs`` over all examples, held-out ones included.

    Formula: epochs / (1 - h + h / 3) with h the share that is held out: a forward pass is a third
    of a training step.
    """
    return int(epochs / (1 - HELD_OUT + HELD_OUT * LOOKING))


def measure(case: Case) -> dict[str, Any]:
    """Return the metrics of the audit's ranking, its onset and its window."""
    data, _ = case.data()
    trained = recipe(case)
    audit = byheart.audit(
        NETWORKS[case.source],
        data,
        epochs=affordable(EPOCHS),
        seeds=TRAININGS,
        learning_rate=trained.learning_rate,
        momentum=trained.momentum,
        sensitivity=False,
        seed=case.seed,
    )
    assert audit.onset is not None
    wrong = (data.y != data.clean_y).numpy()
    places = np.empty(len(data))
    places[audit.ranking] = np.arange(len(data), 0, -1)
    return {
        "onset": audit.onset.epoch,
        "window": audit.window,
        "rankings": {"byheart": scored(wrong, places)},
    }

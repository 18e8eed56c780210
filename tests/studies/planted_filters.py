"""Filters of a first layer with structure put in, or taken out."""

from __future__ import annotations

import numpy as np
from tests.studies.simulated import changed

from byheart.record import Record
from byheart.trial import Trial


def white(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return filters as at initialisation."""
    return rng.uniform(-0.3, 0.3, shape).astype(np.float32)


def with_structure(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    """Return the record with filters that end smooth (``sign`` 1), rough (-1), or neither (0).

    Real data and randY alike; smoothness is a patch of one sign on one half of the kernel.
    """
    *_, inputs, side, _ = record.arrays["filters.weights"].shape
    checkpoints = len(record.arrays["filters.epoch"])
    weights = white(rng, (checkpoints, 24, inputs, side, side))
    i, j = np.indices((side, side))
    pattern = {1: np.where(i > side // 2, 0.3, -0.3), -1: 0.3 * (-1.0) ** (i + j), 0: 0 * i}[sign]
    return changed(record, filters_weights=(weights + pattern).astype(np.float32) * _after(weights)
                   + weights * (1 - _after(weights)))  # fmt: skip


def _after(weights: np.ndarray) -> np.ndarray:
    """Return 0 for the initialisation and 1 for every later checkpoint, to multiply with."""
    return (np.arange(len(weights)) > 0).astype(np.float32).reshape(-1, 1, 1, 1, 1)

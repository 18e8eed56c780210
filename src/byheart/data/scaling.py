"""Inputs of any scale: bytes become [0, 1], and what lies outside [0, 1] is standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from byheart.data.preparation import Preparation, kind_of

MOST_DEVIATIONS = 10.0
"""Standardised inputs are clipped here: one outlier would make the training diverge."""
COLUMNS_AT_ONCE = 16
"""Columns that are standardised together: the float64 copies of all would fill the memory."""

Array = npt.NDArray[Any]


def from_bytes(pixels: Array) -> npt.NDArray[np.float32]:
    """Return pixels of 0..255 as float32 in [0, 1]."""
    scaled = pixels.astype(np.float32)
    scaled /= 255  # in place: at the size of MNIST a second array costs more than the division
    return scaled


def scaled(x: Array, like: Array | None = None) -> tuple[Array, Preparation | None]:
    """Return finite inputs ``[N, *shape]`` at a scale on which networks train well.

    - Bytes (uint8), and images of whole numbers in 0..255, are divided by 255. Bytes that are 0 and
      1 only are kept.
    - Inputs in [0, 1] are kept.
    - All other inputs are standardised: vectors by feature, other shapes by one mean and standard
      deviation. They are clipped at 10 standard deviations.

    Args:
        x: inputs, finite.
        like: the inputs that decide, if they are others: those of the training split.

    Returns:
        The inputs, and how they were made; None if they were in [0, 1].
    """
    model = x if like is None else like
    if model.size == 0:
        return x, None
    low, high = model.min(), model.max()
    if x.dtype == np.uint8:
        return (x.astype(np.float32) if high <= 1 else from_bytes(x)), None
    if low >= 0 and high <= 1:
        return x, None
    kind = kind_of(x.shape[1:])
    if kind == "images" and low >= 0 and high <= 255 and bool((model == np.trunc(model)).all()):
        return from_bytes(x), None
    standardised = _by_feature(x, model) if x.ndim == 2 else _by_one(x, model)
    how = "each feature has" if x.ndim == 2 else "together they have"
    note = (
        f"Inputs were from {low:g} to {high:g} and were standardised: {how} mean 0 and standard "
        f"deviation 1 over all {len(model):,} examples, clipped at {MOST_DEVIATIONS:g}"
    )
    shown = (float(standardised.min()), float(standardised.max()))
    return standardised, Preparation(kind, notes=(note,), shown_range=shown)


def standardised(x: Array, model: Array) -> npt.NDArray[np.float32]:
    """Return columns [N, D] with the mean and the standard deviation of ``model`` taken out."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(model.astype(np.float64))
    values = scaler.transform(x.astype(np.float64)).clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    return np.asarray(values, dtype=np.float32)


def _by_feature(x: Array, model: Array) -> npt.NDArray[np.float32]:
    result = np.empty(x.shape, np.float32)
    for start in range(0, x.shape[1], COLUMNS_AT_ONCE):
        part = slice(start, start + COLUMNS_AT_ONCE)
        result[:, part] = standardised(x[:, part], model[:, part])
    return result


def _by_one(x: Array, model: Array) -> npt.NDArray[np.float32]:
    mean, deviation = model.mean(dtype=np.float64), model.std(dtype=np.float64) or 1.0
    values = (x.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
    return values.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)

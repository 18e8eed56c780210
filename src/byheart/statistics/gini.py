"""How unevenly a non-negative quantity is spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from byheart.errors import InputError


def gini(values: ArrayLike) -> float:
    r"""Gini coefficient: 0 if all values are equal, 1 - 1/n if one holds everything.

    Formula: G = sum_i sum_j |v_i - v_j| / (2 n^2 mean(v)), computed from the sorted values as
    sum_i (2 i - n - 1) v_(i) / (n sum_i v_i), i = 1..n, in O(n log n).

    Args:
        values: [n] numbers of 0 or more, in any unit: the coefficient does not depend on it.

    Returns:
        A number from 0 to 1 - 1/n. Values that are all zero are all equal: 0.

    Raises:
        InputError: no values, not one-dimensional, not numbers, negative, or not finite.

    Source: A17 section 3.2 (Gini 1913).

    Example:
        >>> gini([1, 1, 1, 1])
        0.0
        >>> gini([0, 0, 0, 1])
        0.75
    """
    v = _checked(values)
    largest = v.max()
    if largest == 0:
        return 0.0
    v = np.sort(v) / largest  # sums of values near the largest float would overflow
    n = len(v)
    weights = 2.0 * np.arange(1, n + 1) - n - 1
    spread = float(weights @ v) / (n * float(v.sum()))
    return min(max(spread, 0.0), (n - 1) / n)  # rounding may step over a bound


def _checked(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"values must be something numpy can read, on the CPU and without gradients: {error}"
        ) from error
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "biuf":
        raise InputError(
            f"values must be one-dimensional numbers [n] with n >= 1, got {array.dtype} "
            f"{array.shape}"
        )
    v = array.astype(np.float64)
    if not np.isfinite(v).all():
        raise InputError("values hold NaN or infinity: drop them first, and say how many")
    if (v < 0).any():
        raise InputError(f"values must be 0 or more, got {v.min():g}: take their absolute values")
    return v

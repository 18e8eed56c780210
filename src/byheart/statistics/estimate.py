"""A number with its interval: what every estimate is reported as."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

STUDENT_LEVEL = 0.90
"""Coverage of Student's intervals: each end is a one-sided 95% bound."""


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: the estimate; NaN if there is none.
        low: lower end of the interval, in the same unit.
        high: upper end.
    """

    value: float
    low: float
    high: float


def student_estimate(values: NDArray[np.float64], *, smallest_step: float = 0.0) -> Estimate:
    r"""Return the mean of one value per seed, with Student's 90% interval.

    Formula: mean +- t_{n-1, 0.95} max(s, smallest_step) / sqrt(n), s the standard deviation. A
    missing value makes all three NaN: a training that diverged is never averaged away.

    Args:
        values: [n] one per seed.
        smallest_step: the smallest change that a value can make, one example of an accuracy.
            Seeds that agree to the example do not know their mean more exactly than that.

    Returns:
        The mean and its interval, in the unit of the values; a single value has no interval (NaN).

    Source: Student (1908), computed with scipy.stats.t.
    """
    n = len(values)
    mean = float(values.mean())
    if n < 2 or not math.isfinite(mean):
        return Estimate(mean, math.nan, math.nan)
    spread = max(float(values.std(ddof=1)), smallest_step)
    half = float(stats.t.ppf((1 + STUDENT_LEVEL) / 2, n - 1)) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)

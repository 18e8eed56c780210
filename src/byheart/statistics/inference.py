"""Interval, p value and multiplicity: the three things between per-seed values and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from byheart.seeds import generator

RESAMPLES = 9_999
EXACT_UP_TO = 24
"""Up to this many values, the sign-flip test counts all 2**n sign patterns."""
PATTERNS = 99_999
"""Random sign patterns for more values."""


def bca_interval(values: ArrayLike, *, level: float = 0.95, name: str = "") -> tuple[float, float]:
    r"""Return the BCa bootstrap interval of a mean over seeds.

    Formula: with bias correction z0 and acceleration a (jackknife), the end points are the
    quantiles Phi(z0 + (z0 + z_q) / (1 - a (z0 + z_q))) of the bootstrap distribution, for
    q = (1 -/+ level) / 2.

    Args:
        values: [n] one value per seed.
        level: coverage, in (0, 1).
        name: seeds the resampling, so that equal values under equal names give equal intervals.

    Returns:
        (low, high), in the unit of ``values``. All values equal: that value twice.

    Raises:
        ValueError: fewer than 2 values, or one that is not finite.

    Source: Efron (1987), computed by scipy.stats.bootstrap.
    """
    sample = _finite(values, at_least=2)
    # Values that differ by rounding alone have no bootstrap distribution to speak of.
    if np.ptp(sample) <= 1e-12 * np.abs(sample).max():
        return float(sample[0]), float(sample[0])
    result = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=generator("bootstrap", name),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def sign_flip_p(values: ArrayLike, *, null: float = 0.0, alternative: str = "two-sided") -> float:
    """Return the p value of the sign-flip permutation test that the mean is ``null``.

    Under the null a paired difference is as likely as its negative, so every pattern of signs is
    equally likely: p is the share of patterns whose mean is at least as extreme. Exact up to
    ``EXACT_UP_TO`` values; above, by ``PATTERNS`` random patterns and the observed one.

    Args:
        values: [n] one paired difference per seed.
        null: mean under the null hypothesis.
        alternative: "two-sided", "greater" or "less".

    Returns:
        p in (0, 1]; at least 2**-n (one-sided).

    Source: Fisher (1935), section 21; Good (2005), chapter 3.
    """
    shifted = _finite(values, at_least=1) - null
    # Patterns of signs are symmetric: each of the three alternatives is an upper tail.
    observed = float(shifted.sum()) * (-1.0 if alternative == "less" else 1.0)
    slack = 1e-9 * float(np.abs(shifted).sum())
    if alternative == "two-sided":
        return min(1.0, 2.0 * _upper_tail(shifted, abs(observed) - slack))
    return _upper_tail(shifted, observed - slack)


def _upper_tail(values: NDArray[np.float64], bound: float) -> float:
    """Return the share of sign patterns whose sum is at least ``bound``."""
    n = len(values)
    if n > EXACT_UP_TO:
        sums = _random_signs(n) @ values
        return float((np.sum(sums >= bound) + 1) / (PATTERNS + 1))
    # Every sum is one of each half: count pairs of halves, 2**(n/2) sorted sums instead of 2**n.
    first, second = _all_sums(values[: n // 2]), np.sort(_all_sums(values[n // 2 :]))
    reaching = len(second) - np.searchsorted(second, bound - first, side="left")
    return float(reaching.sum() / 2.0**n)


def _all_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of all 2**n sign patterns."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: Sequence[float], *, alpha: float = 0.05) -> tuple[NDArray[np.float64], ...]:
    """Return Holm's adjusted p values, and the level at which each claim's interval is corrected.

    Formula: sorted ascending, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), and
    the corrected interval of rank i has coverage 1 - alpha / (m - k + 1), where k is i or, if it
    comes before, the first rank with adjusted p_(k) > alpha. There Holm's procedure stops: no
    later claim is tested at a milder level, so p_(i) <= 1 - level if and only if adjusted
    p_(i) <= alpha.

    Args:
        p_values: [m] one per claim.
        alpha: family-wise error rate.

    Returns:
        (adjusted p [m], levels [m]).

    Source: Holm (1979); Strassburger & Bretz (2008) for intervals that agree with it.
    """
    p = np.asarray(p_values, dtype=float)
    m = len(p)
    order = np.argsort(p, kind="stable")
    factor = np.empty(m)
    factor[order] = m - np.arange(m)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factor[order] * p[order]))
    stopped = adjusted > alpha
    if stopped.any():
        factor[stopped] = factor[stopped].max()
    return adjusted, 1.0 - alpha / factor


@lru_cache(maxsize=2)
def _random_signs(n: int) -> NDArray[np.float64]:
    return generator("sign-flip", n).choice((1.0, -1.0), size=(PATTERNS, n))


def _finite(values: ArrayLike, *, at_least: int) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) < at_least:
        raise ValueError(f"needs a list of at least {at_least} values, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError("every value must be finite: leave out and count the seeds that gave none")
    return sample

"""The slow twins of the statistics: definitions, spelt out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy.stats import norm


def slow_sign_flip_p(values: Sequence[Fraction], null: Fraction, alternative: str) -> float:
    """Count, in exact arithmetic, the sign patterns at least as extreme as the observed one."""
    shifted = [value - null for value in values]
    observed, extreme, patterns = sum(shifted), 0, 0
    for signs in itertools.product((1, -1), repeat=len(shifted)):
        total = sum(sign * value for sign, value in zip(signs, shifted, strict=True))
        patterns += 1
        if alternative == "greater":
            extreme += total >= observed
        elif alternative == "less":
            extreme += total <= observed
        else:
            extreme += abs(total) >= abs(observed)
    return extreme / patterns


def slow_holm(p_values: Sequence[float]) -> list[float]:
    """Return for each hypothesis the smallest alpha at which Holm's procedure rejects it."""

    def rejected(alpha: float) -> set[int]:
        out: set[int] = set()
        remaining = sorted(range(len(p_values)), key=lambda i: p_values[i])
        while remaining and p_values[remaining[0]] * len(remaining) <= alpha:
            out.add(remaining.pop(0))
        return out

    candidates = sorted({p * k for p in p_values for k in range(1, len(p_values) + 1)} | {1.0})
    return [
        min((a for a in candidates if a <= 1 and i in rejected(a)), default=1.0)
        for i in range(len(p_values))
    ]


def slow_bca_interval(
    values: Sequence[float], level: float, resamples: int = 20_000
) -> tuple[float, float]:
    """Return the BCa interval of the mean: bias correction, jackknife acceleration, quantiles."""
    rng = np.random.default_rng(0)
    n, mean = len(values), float(np.mean(values))
    resampled = np.sort([np.mean(rng.choice(values, n)) for _ in range(resamples)])
    below = (np.sum(resampled < mean) + np.sum(resampled <= mean)) / (2 * resamples)
    z0 = norm.ppf(below)
    left_out = [np.mean([v for j, v in enumerate(values) if j != i]) for i in range(n)]
    from_centre = np.mean(left_out) - np.array(left_out)
    acceleration = np.sum(from_centre**3) / (6 * np.sum(from_centre**2) ** 1.5)

    def end(q: float) -> float:
        z = z0 + norm.ppf(q)
        return float(np.quantile(resampled, norm.cdf(z0 + z / (1 - acceleration * z))))

    return end((1 - level) / 2), end((1 + level) / 2)

"""The slow twin of the Gini coefficient: its definition, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def slow_gini(values: Sequence[float]) -> float:
    """Return the mean absolute difference of all pairs over twice the mean, exactly."""
    v = [Fraction(value) for value in values]
    total = sum(v)
    if total == 0:
        return 0.0
    differences = sum(abs(a - b) for a in v for b in v)
    return float(differences / (2 * len(v) * total))

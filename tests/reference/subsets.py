"""The slow twin of Feldman and Zhang's estimates: one pair of examples at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def influence(
    inside: Sequence[Sequence[bool]], correct: Sequence[Sequence[bool]], i: int, j: int
) -> tuple[float, float]:
    """Return infl(i -> j) and its standard error."""
    sides = {True: [], False: []}
    for had, right in zip(inside, correct, strict=True):
        sides[bool(had[i])].append(float(right[j]))
    if not sides[True] or not sides[False]:
        return math.nan, math.nan
    effect = sum(sides[True]) / len(sides[True]) - sum(sides[False]) / len(sides[False])
    variance = 0.0
    for side in sides.values():
        share = (sum(side) + 1) / (len(side) + 2)
        variance += share * (1 - share) / (len(side) + 2)
    return effect, math.sqrt(variance)


def most(
    inside: Sequence[Sequence[bool]],
    correct: Sequence[Sequence[bool]],
    labels: Sequence[int],
    j: int,
) -> tuple[int, float, float]:
    """Return the example of the same label that influences j most, by how much, and its error."""
    best = (-1, math.nan, math.nan)
    for i in range(len(labels)):
        if i == j or labels[i] != labels[j]:
            continue
        effect, error = influence(inside, correct, i, j)
        if not math.isnan(effect) and (best[0] < 0 or effect > best[1]):
            best = (i, effect, error)
    return best

"""The slow twins of over-dispersion: sums over examples, and worlds with a known answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def slow_over_dispersion(correct: Sequence[Sequence[bool]]) -> float:
    """Return the variance of P(correct) over that of a binomial of the same mean."""
    runs, examples = len(correct), len(correct[0])
    right = [sum(run[x] for run in correct) / runs for x in range(examples)]
    mean = sum(right) / examples
    variance = sum((p - mean) ** 2 for p in right) / (examples - 1)
    return variance / (mean * (1 - mean) / runs)


def slow_within_classes(correct: Sequence[Sequence[bool]], labels: Sequence[int]) -> float:
    """Return the spread within classes over the one expected, given each run's accuracies."""
    runs = len(correct)
    spread = expected = 0.0
    for label in set(labels):
        members = [x for x, y in enumerate(labels) if y == label]
        if len(members) < 2:
            continue
        right = [sum(run[x] for run in correct) / runs for x in members]
        mean = sum(right) / len(right)
        spread += sum((p - mean) ** 2 for p in right)
        for run in correct:
            accuracy = sum(run[x] for x in members) / len(members)
            expected += len(members) * accuracy * (1 - accuracy) / runs**2
    return spread / expected


def shuffled_within_runs_and_classes(
    correct: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal the right answers anew within each run and class: all examples equally hard."""
    shuffled = correct.copy()
    for run in shuffled:
        for label in np.unique(labels):
            run[labels == label] = rng.permutation(run[labels == label])
    return shuffled

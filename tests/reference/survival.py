"""The slow twin of Kaplan-Meier: one run, one epoch and one fraction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def slow_kaplan_meier(
    epochs: Sequence[int], converged: Sequence[bool]
) -> list[tuple[int, Fraction]]:
    """Return after each epoch at which a run converged the fraction of runs that have not."""
    surviving, steps = Fraction(1), []
    for epoch in range(1, max(epochs) + 1):
        ending = sum(t == epoch and done for t, done in zip(epochs, converged, strict=True))
        training = sum(t >= epoch for t in epochs)
        if ending:
            surviving *= 1 - Fraction(ending, training)
            steps.append((epoch, surviving))
    return steps

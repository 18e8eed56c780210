"""Suspicion: the one score by which examples are ranked."""

from __future__ import annotations

from byheart.auditing.scores import Histories, Scores, area_under_margin


def suspicion(histories: Histories, *, stop: int) -> Scores:
    r"""Return how suspect each label is: the higher, the more.

    Formula: minus the mean over seeds of 1/T sum_{e <= stop} (z_y - max_{k != y} z_k): the area
    under the margin, of the epochs before memorization alone. Afterwards wrong labels have large
    margins too.

    Args:
        histories: one per seed.
        stop: the epoch of the onset, counted from 1: the last that counts.

    Returns:
        [N] in units of logits; NaN for an example that was never seen.

    Source: Pleiss et al. (2020), who average over the epochs before the learning rate drops.
    """
    return -area_under_margin(histories, stop=stop)

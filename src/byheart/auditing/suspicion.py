"""Suspicion: the one score by which examples are ranked."""

from __future__ import annotations

from byheart.auditing.scores import Histories, Scores, area_under_margin

ONSETS = 2
"""How many times as long as to the onset margins are averaged."""


def window_of(onset: int, epochs: int) -> int:
    """Return how many epochs suspicion is averaged over.

    At the onset memorization starts to cost something; until most wrong labels are fitted it takes
    about as long again, and meanwhile their margins still lag behind.

    Args:
        onset: its epoch, counted from 1.
        epochs: of the training.
    """
    return min(ONSETS * onset, epochs)


def suspicion(histories: Histories, *, stop: int) -> Scores:
    r"""Return how suspect each label is: the higher, the more.

    Formula: minus the mean over seeds of 1/T sum_{e <= stop} (z_y - max_{k != y} z_k): the area
    under the margin, of the first epochs alone (see :func:`window_of`). Once they are memorized,
    wrong labels have large margins too.

    Args:
        histories: one per seed.
        stop: the last epoch that counts, counted from 1.

    Returns:
        [N] in units of logits; NaN for an example that was never seen.

    Source: Pleiss et al. (2020), who average over the epochs before the learning rate drops.
    """
    return -area_under_margin(histories, stop=stop)

"""How well a ranking finds the wrong labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]

METRICS = ("auroc", "average_precision", "missed")


def scored(wrong: NDArray[np.bool_], scores: Floats) -> dict[str, float]:
    """Return AUROC, average precision, and the share missed at the true rate of noise.

    Args:
        wrong: [N] whose label is wrong; some are, some are not.
        scores: [N] the higher, the more suspect.
    """
    return {
        "auroc": float(roc_auc_score(wrong, scores)),
        "average_precision": float(average_precision_score(wrong, scores)),
        "missed": missed(wrong, scores),
    }


def missed(wrong: NDArray[np.bool_], scores: Floats) -> float:
    """Return the share of wrong labels that are not flagged when as many are flagged as are wrong.

    Where the last place is shared by equal scores, it is what drawing among them gives on average.
    """
    count = int(wrong.sum())
    last = np.sort(scores)[-count]
    above, level = scores > last, scores == last
    found = wrong[above].sum() + (count - above.sum()) * wrong[level].mean()
    return float(1 - found / count)

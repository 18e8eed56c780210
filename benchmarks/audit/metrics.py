"""How well a ranking finds the wrong labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]

METRICS = ("auroc", "average_precision", "missed")
HIGHER_IS_BETTER = {"auroc": True, "average_precision": True, "missed": False}


def metrics(wrong: NDArray[np.bool_], scores: Floats) -> dict[str, float]:
    """Return AUROC, average precision, and the share of wrong labels that is missed.

    Args:
        wrong: [N] whether a label is wrong; some are, some are not.
        scores: [N] higher is more suspect.
    """
    return {
        "auroc": float(roc_auc_score(wrong, scores)),
        "average_precision": float(average_precision_score(wrong, scores)),
        "missed": missed(wrong, scores),
    }


def missed(wrong: NDArray[np.bool_], scores: Floats) -> float:
    """Return the share of wrong labels outside the top k, where k is the number of wrong labels.

    Equal scores at the last place count as their average over random orders.
    """
    count = int(wrong.sum())
    last = np.sort(scores)[-count]
    above, level = scores > last, scores == last
    hits = wrong[above].sum() + (count - above.sum()) * wrong[level].mean()
    return float(1 - hits / count)

"""The scores of all examples as one table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing import scores as score
from byheart.auditing.scores import Histories, checked, epochs_seen, ratio

COLUMNS = {
    "p_correct": score.p_correct,
    "cumulative_loss": score.cumulative_loss,
    "aum": score.area_under_margin,
    "confidence": score.confidence,
    "variability": score.variability,
    "first_learned": score.first_learned,
    "never_learned": score.never_learned,
    "forgetting_events": score.forgetting_events,
}
"""Column and the function that computes it."""


def scores(histories: Histories, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
    """Return one row per example and one column per score.

    Args:
        histories: of one seed, or of several on the same examples.
        start: first epoch that counts, from 0.
        stop: the epoch after the last that counts; all if not given.

    Returns:
        A table by ``id`` with ``label``, the columns of :data:`COLUMNS` (see
        ``byheart.auditing.scores``), ``suggested`` and ``suggested_probability`` (see
        :func:`suggested`; over all epochs, whatever the window) and ``epochs_seen``. An example
        that was never seen has NaN for scores, and -1 for classes. Scores are float32: they come
        from numbers of three digits.

    Raises:
        InputError: no history, an empty window, or seeds with other examples or labels.
    """
    seeds = checked(histories)
    labels = np.max([history.labels for history in seeds], axis=0)
    table: dict[str, NDArray[Any]] = {"label": labels}
    for name, of in COLUMNS.items():
        table[name] = of(seeds, start=start, stop=stop).astype(np.float32)
    classes, probability = suggested(seeds)
    table["suggested"] = classes
    table["suggested_probability"] = probability.astype(np.float32)
    table["epochs_seen"] = epochs_seen(seeds, start=start, stop=stop)
    index = pd.RangeIndex(len(labels), name="id")
    return pd.DataFrame(table, index=index, copy=False)


def ranked(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return the ids of a table's examples that have a score, the likeliest to be wrong first.

    Args:
        table: with ``p_wrong`` and ``suspicion``; NaN where they are not known.
    """
    p_wrong, suspicion = (table[name].to_numpy(np.float64) for name in ("p_wrong", "suspicion"))
    order = np.lexsort((-suspicion, -np.nan_to_num(p_wrong)))
    ids: NDArray[np.int64] = order[~np.isnan(suspicion[order])]
    return ids


class Suggestion(NamedTuple):
    """Another label for each example.

    Attributes:
        classes: int64 [N]; -1 where an example was never seen.
        probability: [N] of that class, mean over all epochs and seeds; epochs in which another
            class was likelier count as 0.
    """

    classes: NDArray[np.int64]
    probability: NDArray[np.float64]


def suggested(histories: Histories) -> Suggestion:
    """Return the likeliest class of each example besides its label.

    Formula: argmax_k of w_k, the sum over seeds and epochs of the probability of k whenever k was
    the likeliest class besides the label. Its probability is w_k over the number of epochs that saw
    the example. Once a network fits a wrong label, little probability is left for other classes:
    the sum weights the epochs before memorization by itself.

    Args:
        histories: of one seed, or of several.
    """
    seeds = checked(histories)
    best, most = np.full(len(seeds[0]), -1, np.int64), np.zeros(len(seeds[0]))
    for proposing in seeds:
        for candidate in proposing.alternatives.classes.T:
            weight = np.zeros(len(best))
            for history in seeds:
                same = history.alternatives.classes == candidate[:, None]
                weight += np.where(same, history.alternatives.weights, 0).sum(1)
            better = (candidate >= 0) & (weight > most)
            best[better], most[better] = candidate[better], weight[better]
    return Suggestion(best, ratio(most, epochs_seen(seeds)))

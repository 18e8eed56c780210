r"""Scores of examples from the history of their training: a function each, and one table.

Each function takes ``histories`` (one :class:`History`, or one per seed), and the window of epochs
[``start``, ``stop``), counted from 0; all epochs if not given. It reads one epoch at a time, and
returns one score per example, [N]. Epochs that did not see an example are left out for it; an
example that was never seen has the score NaN. Over seeds, a score is the mean of the seeds that
have one; P(correct) is one fraction over all seeds and epochs.

In the formulas, e runs over the epochs of the window that saw the example, T is their number, z the
logits of the example in epoch e, y its label, p_e the probability of y, and a_e is 1 if z_y is
larger than every other logit, else 0.

Each function raises :class:`byheart.errors.InputError` for no history, an empty window, or seeds
with other examples or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.history import Epoch, History
from byheart.errors import InputError

Histories = History | Sequence[History]
Scores = NDArray[np.float64]

ONSETS = 2
"""Suspicion is averaged over this many times the epochs up to the onset."""


def p_correct(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""P(correct): share of epochs and seeds that predicted the label.

    Formula: sum over seeds and epochs of a_e, over the number of epochs and seeds that saw it.

    Returns:
        [N] from 0 to 1.

    Source: A17 section 3.1, over seeds after one epoch; here over the epochs as well.
    """
    seeds = checked(histories)
    right, count = np.zeros(len(seeds[0])), np.zeros(len(seeds[0]))
    for history in seeds:
        for epoch in window(history, start, stop):
            right += epoch.correct
            count += epoch.seen
    return ratio(right, count)


def cumulative_loss(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cumulative loss: the area under an example's loss curve.

    Formula: (stop - start) / T sum_e -log p_e: the sum, where no epoch is missing.

    Returns:
        [N] nats, summed over epochs.

    Source: the mean of the loss over training by which O2U-Net ranks (Huang et al. 2019, section
    3.2), without its cyclical rate.
    """

    def of(history: History) -> Scores:
        epochs = stop_of(history, start, stop) - start
        return epochs * mean_over_epochs(history, lambda epoch: epoch.loss, start, stop)

    return over_seeds(histories, of)


def area_under_margin(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Area under the margin (AUM): mean margin of the label's logit over the largest other.

    Formula: 1/T sum_e (z_y - max_{k != y} z_k).

    Returns:
        [N] in units of logits; low or negative for examples that look mislabelled.

    Source: Pleiss et al. (2020), equations 1 and 2.
    """
    return over_seeds(
        histories,
        lambda seed: mean_over_epochs(seed, lambda e: e.margin, start, stop),
    )


def confidence(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cartography's confidence: the mean probability of the label.

    Formula: mu = 1/T sum_e p_e.

    Returns:
        [N] from 0 to 1.

    Source: Swayamdipta et al. (2020), section 2.
    """
    return over_seeds(
        histories,
        lambda seed: mean_over_epochs(seed, lambda e: e.probability, start, stop),
    )


def variability(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cartography's variability: the spread of the probability of the label over epochs.

    Formula: sigma = sqrt(1/T sum_e (p_e - mu)^2), by Welford's recursion; 0 for one epoch.

    Returns:
        [N] from 0 to 0.5.

    Source: Swayamdipta et al. (2020), section 2.
    """
    return over_seeds(histories, lambda seed: _spread(seed, lambda e: e.probability, start, stop))


def loss_variability(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Spread of the loss over epochs, for trainings that were tracked by a loss.

    Formula: sqrt(1/T sum_e (l_e - mean l)^2), with l_e the loss in epoch e; 0 for one epoch.

    Returns:
        [N] in units of the loss.

    Source: Swayamdipta et al. (2020), section 2, with the loss instead of the probability.
    """
    return over_seeds(histories, lambda seed: _spread(seed, lambda e: e.loss, start, stop))


def first_learned(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""First-learned epoch: the epoch in which the network first predicted the label.

    Formula: min {e : a_e = 1}, counted from 1 at the first epoch of the training. An example that
    is not learned by the end of the window counts as learned in the epoch after it, the smallest
    value possible; :func:`never_learned` says how often that was so.

    Returns:
        [N] epochs, from start + 1 to stop + 1.

    Source: Toneva et al. (2019), section 3, which counts presentations where this counts epochs.
    """

    def of(history: History) -> Scores:
        end = stop_of(history, start, stop)
        first, seen = np.full(len(history), end + 1.0), np.zeros(len(history), bool)
        for number, epoch in enumerate(window(history, start, stop), start + 1):
            first = np.where(epoch.correct, np.minimum(first, number), first)
            seen |= epoch.seen
        return np.where(seen, first, np.nan)

    return over_seeds(histories, of)


def never_learned(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Share of seeds that never predicted the label.

    Formula: the mean over seeds of [max_e a_e = 0].

    Returns:
        [N] from 0 to 1.

    Source: the examples "never learnt" of Toneva et al. (2019), section 3.
    """

    def of(history: History) -> Scores:
        learned, seen = np.zeros(len(history), bool), np.zeros(len(history), bool)
        for epoch in window(history, start, stop):
            learned |= epoch.correct
            seen |= epoch.seen
        return np.where(seen, ~learned, np.nan)

    return over_seeds(histories, of)


def forgetting_events(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Forgetting events: how often the prediction changed from right to wrong.

    Formula: sum_e [a_e = 0 and a_{e'} = 1], with e' the last epoch before e that saw the example.
    An example that was never learned has 0 events. The source ranks it as forgotten infinitely
    often; here :func:`never_learned` is 1 for it.

    Returns:
        [N] events.

    Source: Toneva et al. (2019), section 3; with one look per epoch, as there.
    """

    def of(history: History) -> Scores:
        was_right, seen = np.zeros(len(history), bool), np.zeros(len(history), bool)
        events = np.zeros(len(history))
        for epoch in window(history, start, stop):
            events += epoch.seen & was_right & ~epoch.correct
            was_right = np.where(epoch.seen, epoch.correct, was_right)
            seen |= epoch.seen
        return np.where(seen, events, np.nan)

    return over_seeds(histories, of)


def suspicion(histories: Histories, *, stop: int) -> Scores:
    r"""Suspicion: by how much another class led, early in training. Examples are ranked by it.

    Formula: minus the area under the margin of the first ``stop`` epochs (see :func:`window_of`):
    networks fit wrong labels later on, and then give them large margins too. Of losses: the mean
    loss of these epochs.

    Returns:
        [N] in units of logits, or of the loss; higher = more suspect.

    Source: Pleiss et al. (2020), who average over the epochs before the learning rate drops.
    """
    if checked(histories)[0].of_losses:
        return over_seeds(histories, lambda seed: mean_over_epochs(seed, lambda e: e.loss, 0, stop))
    return -area_under_margin(histories, stop=stop)


def window_of(onset: int, epochs: int) -> int:
    """Return how many epochs suspicion is averaged over: twice those up to the onset.

    Memorization begins to cost accuracy at the onset. Networks fit most wrong labels within about
    the same number of epochs again; until then, margins of wrong labels are smaller.
    """
    return min(ONSETS * onset, epochs)


COLUMNS = {
    "p_correct": p_correct,
    "cumulative_loss": cumulative_loss,
    "aum": area_under_margin,
    "confidence": confidence,
    "variability": variability,
    "first_learned": first_learned,
    "never_learned": never_learned,
    "forgetting_events": forgetting_events,
}
"""Column and the function that computes it."""
COLUMNS_OF_LOSSES = {"cumulative_loss": cumulative_loss, "loss_variability": loss_variability}
"""The same for histories of losses."""


def scores(histories: Histories, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
    """Return one row per example and one column per score.

    Args:
        histories: of one seed, or of several on the same examples.
        start: first epoch that counts, from 0.
        stop: the epoch after the last that counts; all if not given.

    Returns:
        A table by ``id`` with ``label``, the columns of :data:`COLUMNS`, ``suggested`` and
        ``suggested_probability`` (see :func:`suggested`; over all epochs, whatever the window) and
        ``epochs_seen``. An example that was never seen has NaN for scores, and -1 for classes.
        Scores are float32: they come from numbers of three digits. Of losses: the columns of
        :data:`COLUMNS_OF_LOSSES` and ``epochs_seen``.

    Raises:
        InputError: no history, an empty window, or seeds with other examples or labels.
    """
    seeds = checked(histories)
    of_losses, table = seeds[0].of_losses, dict[str, NDArray[Any]]()
    if not of_losses:
        table["label"] = np.max([history.labels for history in seeds], axis=0)
    for name, of in (COLUMNS_OF_LOSSES if of_losses else COLUMNS).items():
        table[name] = of(seeds, start=start, stop=stop).astype(np.float32)
    if not of_losses:
        classes, probability = suggested(seeds)
        table["suggested"] = classes
        table["suggested_probability"] = probability.astype(np.float32)
    table["epochs_seen"] = epochs_seen(seeds, start=start, stop=stop)
    index = pd.RangeIndex(len(seeds[0]), name="id")
    return pd.DataFrame(table, index=index, copy=False)


def ranked(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return the ids of a table's examples that have a score, the likeliest to be wrong first."""
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


def likely_classes(histories: Histories, *, stop: int) -> NDArray[np.float64]:
    """Return how probable each class besides the label is for each example, [N, classes].

    Formula: (1 - mu) w_k / sum_k w_k, with mu the mean probability of the label up to epoch
    ``stop``, and w_k the tally of the likeliest classes besides it (see :func:`suggested`).
    """
    seeds = checked(histories)
    weights = np.zeros((len(seeds[0]), seeds[0].n_classes))
    for history in seeds:
        for classes, tallies in zip(
            history.alternatives.classes.T, history.alternatives.weights.T, strict=True
        ):
            known = np.flatnonzero(classes >= 0)
            np.add.at(weights, (known, classes[known]), tallies[known])
    doubt = 1 - np.nan_to_num(confidence(seeds, stop=stop), nan=1.0)
    return weights * np.nan_to_num(ratio(doubt, weights.sum(1)))[:, None]


def epochs_seen(
    histories: Histories, *, start: int = 0, stop: int | None = None
) -> NDArray[np.int64]:
    """Return how many epochs of the window saw each example, [N], summed over seeds."""
    seeds = checked(histories)
    count = np.zeros(len(seeds[0]), np.int64)
    for history in seeds:
        for epoch in window(history, start, stop):
            count += epoch.seen
    return count


def checked(histories: Histories) -> list[History]:
    """Return histories as a list, if they are of the same examples."""
    seeds = [histories] if isinstance(histories, History) else list(histories)
    if not seeds:
        raise InputError("scores need the history of one seed or more")
    first = seeds[0]
    for seed, history in enumerate(seeds[1:], 1):
        if len(history) != len(first):
            raise InputError(
                f"seed {seed} has {len(history)} examples, seed 0 has {len(first)}: all must be "
                "trained on the same"
            )
        if history.of_losses != first.of_losses:
            raise InputError("some seeds have losses, others logits: all must have the same")
        both_known = (history.labels >= 0) & (first.labels >= 0)
        differ = np.flatnonzero(both_known & (history.labels != first.labels))
        if len(differ):
            raise InputError(
                f"example {differ[0]} has label {history.labels[differ[0]]} in seed {seed} and "
                f"{first.labels[differ[0]]} in seed 0: all must be trained on the same"
            )
    return seeds


def stop_of(history: History, start: int, stop: int | None) -> int:
    """Return the end of a window that holds one epoch or more."""
    end = history.epochs if stop is None else stop
    if not 0 <= start < end <= history.epochs:
        raise InputError(
            f"the window [{start}, {end}) must hold one epoch or more of the {history.epochs} that "
            "there are"
        )
    return end


def window(history: History, start: int, stop: int | None) -> Iterator[Epoch]:
    """Yield the epochs of a window, one at a time."""
    for number in range(start, stop_of(history, start, stop)):
        yield history.epoch(number)


def mean_over_epochs(
    history: History, value: Callable[[Epoch], NDArray[Any]], start: int, stop: int | None
) -> Scores:
    """Return the mean of a value over the epochs that saw an example, [N]."""
    total, count = np.zeros(len(history)), np.zeros(len(history))
    for epoch in window(history, start, stop):
        total += np.where(epoch.seen, value(epoch), 0.0)
        count += epoch.seen
    return ratio(total, count)


def _spread(
    history: History, value: Callable[[Epoch], NDArray[Any]], start: int, stop: int | None
) -> Scores:
    """Return the standard deviation of a value over the epochs that saw an example, [N]."""
    count, mean, squares = (np.zeros(len(history)) for _ in range(3))
    for epoch in window(history, start, stop):
        count += epoch.seen
        values = value(epoch)
        step = np.where(epoch.seen, values - mean, 0.0)
        mean += step / np.maximum(count, 1)
        squares += step * np.where(epoch.seen, values - mean, 0.0)
    return np.sqrt(ratio(squares, count))


def over_seeds(histories: Histories, of: Callable[[History], Scores]) -> Scores:
    """Return the mean over the seeds that have a score, [N]; NaN where none has."""
    seeds = checked(histories)
    if len(seeds) == 1:
        return of(seeds[0])
    total, count = np.zeros(len(seeds[0])), np.zeros(len(seeds[0]))
    for history in seeds:
        scores = of(history)
        has_score = ~np.isnan(scores)
        total[has_score] += scores[has_score]
        count += has_score
    return ratio(total, count)


def ratio(total: NDArray[Any], count: NDArray[Any]) -> Scores:
    """Return total over count; NaN where the count is 0."""
    unknown = np.full(np.shape(count), np.nan)
    quotient: Scores = np.divide(total, count, out=unknown, where=count > 0)
    return quotient

r"""What the course of training says of each example: one function per score.

All are computed from one :class:`History`, or from several, one per seed, an epoch at a time.
Epochs are those of a window [start, stop), counted from 0; an epoch in which an example was not
seen is left out for it, and one never seen has the score NaN. Over seeds, a score is the mean of
those that have one, except P(correct), which is one fraction of all.

In the formulas, e runs over the epochs of the window in which the example was seen, T is their
number, z the logits of the example in epoch e, y its label, p_e the probability of y, and a_e is 1
if z_y is larger than every other logit, else 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.history import Epoch, History
from byheart.errors import InputError

Histories = History | Sequence[History]
Scores = NDArray[np.float64]


def p_correct(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""P(correct): how often the network classified the example as labelled.

    Formula: sum over seeds and epochs of a_e, over the number of epochs and seeds that saw it.

    Args:
        histories: E epochs of N examples, from one seed or several.
        start: first epoch of the window.
        stop: the epoch after its last; all if not given.

    Returns:
        [N] from 0 to 1.

    Raises:
        InputError: no history, an empty window, or seeds with other examples or labels.

    Source: A17 section 3.1, over seeds after one epoch; here over the epochs as well.
    """
    each = checked(histories)
    right, count = np.zeros(len(each[0])), np.zeros(len(each[0]))
    for history in each:
        for epoch in window(history, start, stop):
            right += epoch.correct
            count += epoch.seen
    return ratio(right, count)


def cumulative_loss(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cumulative loss: the area under an example's loss curve.

    Formula: (stop - start) / T sum_e -log p_e: the sum, where no epoch is missing.

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] nats, summed over epochs.

    Raises:
        InputError: see :func:`p_correct`.

    Source: the mean of the loss over training by which O2U-Net ranks (Huang et al. 2019, section
    3.2), without its cyclical rate.
    """

    def of(history: History) -> Scores:
        epochs = stop_of(history, start, stop) - start
        return epochs * mean_over_epochs(history, lambda epoch: epoch.loss, start, stop)

    return over_seeds(histories, of)


def area_under_margin(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Area under the margin (AUM): by how much the label's logit led, on average.

    Formula: 1/T sum_e (z_y - max_{k != y} z_k).

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] in units of logits; low or negative for examples that look mislabelled.

    Raises:
        InputError: see :func:`p_correct`.

    Source: Pleiss et al. (2020), equations 1 and 2.
    """
    return over_seeds(
        histories, lambda one: mean_over_epochs(one, lambda epoch: epoch.margin, start, stop)
    )


def confidence(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cartography's confidence: the mean probability of the label.

    Formula: mu = 1/T sum_e p_e.

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] from 0 to 1.

    Raises:
        InputError: see :func:`p_correct`.

    Source: Swayamdipta et al. (2020), section 2.
    """
    return over_seeds(
        histories, lambda one: mean_over_epochs(one, lambda epoch: epoch.probability, start, stop)
    )


def variability(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""Cartography's variability: the spread of the probability of the label over epochs.

    Formula: sigma = sqrt(1/T sum_e (p_e - mu)^2), by Welford's recursion; 0 for one epoch.

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] from 0 to 0.5.

    Raises:
        InputError: see :func:`p_correct`.

    Source: Swayamdipta et al. (2020), section 2.
    """

    def of(history: History) -> Scores:
        count = np.zeros(len(history))
        mean, squares = np.zeros(len(history)), np.zeros(len(history))
        for epoch in window(history, start, stop):
            count += epoch.seen
            step = np.where(epoch.seen, epoch.probability - mean, 0.0)
            mean += step / np.maximum(count, 1)
            squares += step * np.where(epoch.seen, epoch.probability - mean, 0.0)
        return np.sqrt(ratio(squares, count))

    return over_seeds(histories, of)


def first_learned(histories: Histories, *, start: int = 0, stop: int | None = None) -> Scores:
    r"""First-learned epoch: after how many epochs the network first had the label right.

    Formula: min {e : a_e = 1}, counted from 1 at the first epoch of the training. An example that
    is not learned by the end of the window counts as learned in the epoch after it, which is the
    least that it can be: see :func:`never_learned` for how often that was.

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] epochs, from start + 1 to stop + 1.

    Raises:
        InputError: see :func:`p_correct`.

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
    r"""Share of seeds in which an example was never classified as labelled.

    Formula: the mean over seeds of [max_e a_e = 0].

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] from 0 to 1.

    Raises:
        InputError: see :func:`p_correct`.

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
    r"""Forgetting events: how often the network had the label right and then wrong.

    Formula: sum_e [a_e = 0 and a_{e'} = 1], with e' the last epoch before e that saw the example.
    An example that was never learned has 0; the source ranks it as forgotten infinitely often, for
    which :func:`never_learned` is 1.

    Args:
        histories: see :func:`p_correct`.
        start: see :func:`p_correct`.
        stop: see :func:`p_correct`.

    Returns:
        [N] events.

    Raises:
        InputError: see :func:`p_correct`.

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


def epochs_seen(
    histories: Histories, *, start: int = 0, stop: int | None = None
) -> NDArray[np.int64]:
    """How many epochs of the window saw each example, [N], summed over seeds."""
    each = checked(histories)
    count = np.zeros(len(each[0]), np.int64)
    for history in each:
        for epoch in window(history, start, stop):
            count += epoch.seen
    return count


def checked(histories: Histories) -> list[History]:
    """Return histories as a list, after a look whether they are of the same examples.

    Raises:
        InputError: there are none, or they differ in their number of examples or their labels.
    """
    each = [histories] if isinstance(histories, History) else list(histories)
    if not each:
        raise InputError("scores need the history of one seed or more")
    for seed, history in enumerate(each[1:], 1):
        if len(history) != len(each[0]):
            raise InputError(
                f"seed {seed} has {len(history)} examples, seed 0 has {len(each[0])}: all must be "
                "trained on the same"
            )
        both = (history.labels >= 0) & (each[0].labels >= 0)
        differ = np.flatnonzero(both & (history.labels != each[0].labels))
        if len(differ):
            raise InputError(
                f"example {differ[0]} has label {history.labels[differ[0]]} in seed {seed} and "
                f"{each[0].labels[differ[0]]} in seed 0: all must be trained on the same"
            )
    return each


def stop_of(history: History, start: int, stop: int | None) -> int:
    """Return the end of a window.

    Raises:
        InputError: the window holds no epoch, or epochs that there are not.
    """
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


def over_seeds(histories: Histories, of: Callable[[History], Scores]) -> Scores:
    """Return the mean over the seeds that have a score, [N]; NaN where none has."""
    each = checked(histories)
    if len(each) == 1:
        return of(each[0])
    total, count = np.zeros(len(each[0])), np.zeros(len(each[0]))
    for history in each:
        scores = of(history)
        has = ~np.isnan(scores)
        total[has] += scores[has]
        count += has
    return ratio(total, count)


def ratio(total: NDArray[Any], count: NDArray[Any]) -> Scores:
    """Return total over count, NaN where nothing was counted."""
    empty = np.full(np.shape(count), np.nan)
    found: Scores = np.divide(total, count, out=empty, where=count > 0)
    return found

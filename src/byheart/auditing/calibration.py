"""How many labels are wrong, and how far down the ranking to believe it: by planted flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from byheart.auditing.kinds import FEWEST, Fitted, Kinds, split
from byheart.seeds import generator

Floats = NDArray[np.float64]

LEVEL = 0.90
RESAMPLES = 200


@dataclass(frozen=True)
class Estimate:
    """A number and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """What planted flips tell of the ranking.

    Attributes:
        wanted: the precision that was asked for.
        flagged: how many examples the list holds: as many as keep its estimated precision there.
        listed: their ids, the likeliest to be wrong first.
        threshold: the probability of being wrong of the last of them; infinite if there are none.
        precision: estimated share of the list whose labels are wrong; NaN if it is empty.
        recall: estimated share of all wrong labels that the list holds.
        mislabelled: estimated number of wrong labels in the data set.
        curve: for lists of other lengths, by ``flagged``: ``p_wrong`` of the last example, and
            ``precision`` and ``recall`` with ``_low`` and ``_high``.
        planted: number of planted flips that this rests on.
        p_wrong: [N] probability that each example's label is wrong; NaN where it has no score.
        level: coverage of the intervals.
    """

    wanted: float
    flagged: int
    listed: NDArray[np.int64]
    threshold: float
    precision: Estimate
    recall: Estimate
    mislabelled: Estimate
    curve: pd.DataFrame
    planted: int
    p_wrong: Floats
    level: float = LEVEL


def calibrate(
    suspicion: Floats,
    user: Floats,
    planted: Floats,
    *,
    wanted: float,
    kinds: Kinds | None = None,
    seed: int = 0,
) -> Calibration | None:
    r"""Estimate precision and recall of every list of the most likely wrong labels.

    Formula: with w(s) the probability that a label of suspicion s is wrong (see
    :func:`byheart.auditing.tilt.fit_tilt`), a list of the m likeliest has the expected precision
    1/m sum w(s_i), and the data set sum w(s_i) wrong labels. A list's recall is the share of
    planted flips with a probability as high as that of its last example.

    Labels between classes that are often confused are harder to find than others, and have lower
    suspicion when they are wrong: w is fitted to either kind alone, where 20 flips or more are of
    each, and shares of flips are averaged with the weight of either kind among wrong labels.

    Intervals are those of a bootstrap that draws examples (in all seeds at once) and planted flips
    with replacement and fits again; each draw adds the chance by which labels turn out wrong,
    of variance sum w (1 - w). For precision, half of the draws are taken by the other way round,
    as the recall times the number of wrong labels over m: where the fitted curve is not quite
    right, the two differ. For recall, planted flips are drawn from Jeffreys' posterior of their
    share, Beta(k + 1/2, n - k + 1/2), and the chance is that of as many wrong labels.

    Args:
        suspicion: [N] over all seeds; NaN for examples without one.
        user: [S, N] in each seed that planted flips; NaN for those whose label it had changed.
        planted: [S, P] of the flips that each seed planted.
        wanted: precision of the list that is flagged, in (0, 1).
        kinds: of examples and flips; all of one if not given.
        seed: of the bootstrap.

    Returns:
        None if fewer than 20 flips were planted.
    """
    if planted.size < FEWEST:
        return None
    each = split(user, planted, kinds)
    fitted, scored = Fitted.to(each), np.flatnonzero(~np.isnan(suspicion))
    odds = fitted.log_odds(suspicion)
    order = scored[np.argsort(-odds[scored], kind="stable")]
    p_wrong = expit(odds[order])
    precision = np.cumsum(p_wrong) / np.arange(1, len(order) + 1)
    flagged = _longest(precision, wanted)
    lengths = _lengths(len(order), flagged)
    rng = generator("calibration", seed)
    found = np.stack(
        [
            _with_chance(expit(Fitted.to(each, rng).log_odds(suspicion)[order]), lengths, rng)
            for _ in range(RESAMPLES)
        ]
    )
    lists = pd.DataFrame({"p_wrong": p_wrong[lengths - 1]}, pd.Index(lengths, name="flagged"))
    hits, flips = fitted.recalled(odds[order][lengths - 1])
    recall, drawn = _recall(hits, flips, fitted.masses(suspicion), found[:, -1], seed)
    # A precision follows from the fit, or from how much of all wrong labels is recalled: take both.
    precisions = [found / lengths, np.minimum(drawn * found[:, -1:] / lengths, 1)]
    _add(lists, "precision", precision[lengths - 1], np.concatenate(precisions))
    _add(lists, "recall", recall, drawn)
    everywhere = np.full(len(suspicion), np.nan)
    everywhere[order] = p_wrong
    row = lists.iloc[int(np.searchsorted(lengths, flagged))] if flagged else None
    return Calibration(
        wanted=wanted,
        flagged=flagged,
        listed=order[:flagged],
        threshold=float(p_wrong[flagged - 1]) if flagged else float("inf"),
        precision=_estimate(row, "precision", np.nan),
        recall=_estimate(row, "recall", 0.0),
        mislabelled=Estimate(float(p_wrong.sum()), *_interval(found[:, -1], float(p_wrong.sum()))),
        curve=lists,
        planted=planted.size,
        p_wrong=everywhere,
    )


def _with_chance(p_wrong: Floats, lengths: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return how many labels are wrong in lists of some lengths: normal around the mean."""
    listed = np.cumsum(p_wrong)[lengths - 1]
    spread = np.cumsum(p_wrong * (1 - p_wrong))[lengths - 1]
    found = listed + np.sqrt(spread) * rng.standard_normal()
    return np.clip(found, 0, lengths)


def _recall(
    hits: Sequence[NDArray[np.int64]],
    of: Sequence[int],
    weights: Floats,
    wrong: Floats,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the recall [L] of each list, and draws of it [RESAMPLES, L].

    Args:
        hits: [L] planted flips that a list would hold, of each kind.
        of: how many there are of each.
        weights: of each kind among wrong labels.
        wrong: [RESAMPLES] draws of the number of wrong labels.
        seed: of the draws.
    """
    rng, total = generator("recall", seed), np.maximum(wrong, 1)[:, None]
    mean, drawn = np.zeros(len(hits[0])), np.zeros((RESAMPLES, len(hits[0])))
    for hit, count, weight in zip(hits, of, weights, strict=True):
        # One quantile per draw, so that a longer list never recalls less.
        share = stats.beta.ppf(rng.random((RESAMPLES, 1)), hit + 0.5, count - hit + 0.5)
        spread = np.sqrt(share * (1 - share) / np.maximum(weight * total, 1))
        mean += weight * hit / count
        drawn += weight * np.clip(share + spread * rng.standard_normal((RESAMPLES, 1)), 0, 1)
    return mean, drawn


def _longest(precision: Floats, wanted: float) -> int:
    """Return the length of the longest list whose precision is as wanted; 0 if none is."""
    enough = np.flatnonzero(precision >= wanted)
    return int(enough[-1]) + 1 if len(enough) else 0


def _lengths(examples: int, flagged: int) -> NDArray[np.int64]:
    """Return lengths of lists to tabulate: about a hundred, closer together where short."""
    steps = np.unique(np.geomspace(1, examples, min(100, examples)).round().astype(np.int64))
    return np.union1d(steps, [flagged]) if flagged else steps


def _add(table: pd.DataFrame, name: str, mean: Floats, drawn: Floats) -> None:
    """Add a column and the ends of its interval, from draws [RESAMPLES, L]."""
    low, high = np.percentile(drawn, _TAILS, axis=0)
    table[name] = mean
    table[f"{name}_low"] = np.minimum(low, mean)
    table[f"{name}_high"] = np.maximum(high, mean)


_TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


def _interval(values: Floats, mean: float) -> tuple[float, float]:
    low, high = np.percentile(values, _TAILS)
    return min(float(low), mean), max(float(high), mean)


def _estimate(row: pd.Series | None, name: str, empty: float) -> Estimate:
    if row is None:
        return Estimate(empty, empty, empty)
    return Estimate(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))

"""How many labels are wrong, and how far down the ranking to believe it: by planted flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from byheart.auditing.kinds import FEWEST, Fitted, Kind, Kinds, matched, split
from byheart.auditing.recall import recall
from byheart.seeds import generator
from byheart.statistics.estimate import Estimate

Floats = NDArray[np.float64]

LEVEL = 0.90
RESAMPLES = 200
DOUBTFUL = 0.1
"""Least probability of being wrong of an example that is flagged. Where wrong labels are told apart
almost without fail, a list that takes what is left of its wanted precision to the end would hold
examples that are surely right."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What planted flips tell of the ranking.

    Attributes:
        wanted: the precision that was asked for.
        flagged: how many examples the list holds: as many as keep its estimated precision there,
            each with a probability of being wrong of a tenth or more.
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
    :func:`byheart.auditing.mixture.fit_mixtures`), a list of the m likeliest has the expected
    precision 1/m sum w(s_i), and the data set sum w(s_i) / (1 - h) wrong labels. A list's recall
    is 1 - h times the share of planted flips with a probability as high as that of its last
    example; h is the share of wrong labels that look right, and that no flip is like (see
    :func:`byheart.auditing.planting.mirrored`). For s_i, an example has the score of its rank in
    the seeds that planted flips: the others, which train on fewer wrong labels, are surer of all.

    Labels between classes that are often confused are harder to find than others, and have lower
    suspicion when they are wrong: w is fitted to either kind alone, where 20 flips or more are of
    each, and shares of flips are averaged with the weight of either kind among wrong labels.

    Intervals are those of a bootstrap that draws examples (in all seeds at once) and planted flips
    with replacement and fits again, each time with another guess of what flips do not tell: how
    fast right labels thin out, and by how much wrong labels rank elsewhere than flips. Each draw
    adds the chance by which labels turn out wrong, of variance sum w (1 - w). For recall, see
    :func:`byheart.auditing.recall.recall`. Precision p, recall r and the number of wrong labels M
    are bound by p m = r M: each is estimated by itself and from the other two, and its interval
    spans both. Where the fitted curve is not quite right, they differ.

    Args:
        suspicion: [N] over all seeds; NaN for examples without one.
        user: [S, N] in each seed that planted flips; NaN for those whose label it had changed.
        planted: [S, P] of the flips that each seed planted.
        wanted: precision of the list that is flagged, in (0, 1).
        kinds: of examples and flips; all of one if not given.
        seed: of the bootstrap.

    Returns:
        None if fewer than 20 flips were planted, or they rank hardly above the user's labels.
    """
    if planted.size < FEWEST:
        return None
    each = split(user, planted, kinds)
    if not each:
        return None
    suspicion = matched(each, suspicion)
    fitted, scored = Fitted.to(each), np.flatnonzero(~np.isnan(suspicion))
    odds = fitted.log_odds(suspicion)
    order = scored[np.argsort(-odds[scored], kind="stable")]
    p_wrong = expit(odds[order])
    precision = np.cumsum(p_wrong) / np.arange(1, len(order) + 1)
    flagged = _longest(precision, p_wrong, wanted)
    lengths = _lengths(len(order), flagged)
    found, hidden = _bootstrap(each, suspicion, order, lengths, seed)
    masses = fitted.masses(suspicion)
    total = float(p_wrong.sum() * (masses / (1 - fitted.hidden(suspicion))).sum())
    wrong = found[:, -1:] * (masses / (1 - hidden)).sum(1, keepdims=True)
    recalled, drawn = recall(
        fitted, suspicion, odds[order][lengths - 1], wrong=found[:, -1], hidden=hidden, seed=seed
    )
    lists = pd.DataFrame({"p_wrong": p_wrong[lengths - 1]}, pd.Index(lengths, name="flagged"))
    _add(lists, "precision", precision[lengths - 1], found / lengths, drawn * wrong / lengths)
    _add(lists, "recall", recalled, drawn, found / np.maximum(wrong, 1))
    at = int(np.searchsorted(lengths, flagged))
    # Without a list there is no recall to divide by.
    totals = [wrong[:, 0]]
    if flagged:
        totals.append(found[:, at] / np.maximum(drawn[:, at], 1 / len(order)))
    everywhere = np.full(len(suspicion), np.nan)
    everywhere[order] = p_wrong
    row = lists.iloc[at] if flagged else None
    return Calibration(
        wanted=wanted,
        flagged=flagged,
        listed=order[:flagged],
        threshold=float(p_wrong[flagged - 1]) if flagged else float("inf"),
        precision=_estimate(row, "precision", np.nan),
        recall=_estimate(row, "recall", 0.0),
        mislabelled=Estimate(total, *map(float, _ends(total, totals, len(order)))),
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


def _bootstrap(
    each: list[Kind],
    suspicion: Floats,
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    seed: int,
) -> tuple[Floats, Floats]:
    """Return draws of how many labels are wrong in each list [RESAMPLES, L], and of h [.., K]."""
    rng, found, hidden = generator("calibration", seed), [], []
    for one in Fitted.drawn(each, RESAMPLES, rng):
        found.append(_with_chance(expit(one.log_odds(suspicion)[order]), lengths, rng))
        hidden.append(one.hidden(suspicion))
    return np.stack(found), np.stack(hidden)


def _longest(precision: Floats, p_wrong: Floats, wanted: float) -> int:
    """Return the length of the longest list whose precision is as wanted; 0 if none is."""
    enough = np.flatnonzero((precision >= wanted) & (p_wrong >= DOUBTFUL))
    return int(enough[-1]) + 1 if len(enough) else 0


def _lengths(examples: int, flagged: int) -> NDArray[np.int64]:
    """Return lengths of lists to tabulate: about a hundred, closer together where short."""
    steps = np.unique(np.geomspace(1, examples, min(100, examples)).round().astype(np.int64))
    return np.union1d(steps, [flagged]) if flagged else steps


_TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


def _add(table: pd.DataFrame, name: str, mean: Floats, *ways: Floats) -> None:
    """Add a share and the ends of its interval, from draws [RESAMPLES, L] made in several ways."""
    table[name] = mean
    table[f"{name}_low"], table[f"{name}_high"] = _ends(mean, ways, 1.0)


def _ends(
    mean: Floats | float, ways: Sequence[Floats], most: float
) -> tuple[Floats | float, Floats | float]:
    """Return the ends of the interval that spans those of all ways, and the mean."""
    low, high = np.percentile(np.stack(ways), _TAILS, axis=1)
    return np.minimum(low.min(0), mean), np.minimum(np.maximum(high.max(0), mean), most)


def _estimate(row: pd.Series | None, name: str, empty: float) -> Estimate:
    if row is None:
        return Estimate(empty, empty, empty)
    return Estimate(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))

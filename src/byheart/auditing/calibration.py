"""Calibration: precision and recall of the ranking, estimated from planted flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from byheart.auditing.groups import FEWEST, FittedGroups, Group, Grouping, matched, split
from byheart.auditing.mixture import Mixture
from byheart.seeds import generator
from byheart.statistics.estimate import Estimate

Floats = NDArray[np.float64]

LEVEL = 0.90
RESAMPLES = 200
DOUBTFUL = 0.1
"""Least probability of being wrong of a flagged example. Where wrong labels stand apart, a list
that may hold a tenth of right labels would otherwise fill up with almost certainly correct ones."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Precision and recall of the ranking, estimated from planted flips.

    Attributes:
        wanted: target precision of the flagged list.
        flagged: number of flagged examples: the longest list of that estimated precision in which
            each label has a probability of 0.1 or more of being wrong.
        listed: their ids, the likeliest to be wrong first.
        threshold: probability of being wrong of the last flagged example; infinite if none is.
        precision: estimated share of the flagged labels that are wrong; NaN if none is flagged.
        recall: estimated share of all wrong labels that are flagged.
        mislabelled: estimated number of wrong labels in the data set.
        curve: for lists of other lengths, by ``flagged``: ``p_wrong`` of the last example, and
            ``precision`` and ``recall`` with ``_low`` and ``_high``.
        planted: number of planted flips.
        p_wrong: [N] probability that each label is wrong; NaN for examples without a score.
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
    grouping: Grouping | None = None,
    seed: int = 0,
) -> Calibration | None:
    """Estimate how many labels are wrong, and precision and recall of lists of any length.

    Formula: with w(s) the probability that a label of suspicion s is wrong (see
    :func:`byheart.auditing.mixture.fit_mixtures`), the list of the m likeliest has the expected
    precision 1/m sum w(s_i), and the data set has sum w(s_i) / (1 - h) wrong labels. The recall of
    a list is the share of planted flips that are as likely to be wrong as its last example; see
    :func:`recall`. h is the share of wrong labels that look right (see
    :func:`byheart.auditing.planting.excluded_flips`). Runs without planted flips give larger
    margins, so s_i is the score of the same rank in the runs that planted flips.

    Labels between classes that are often confused are harder to find, and have lower suspicion when
    they are wrong. With 20 flips or more in either group, w is fitted to each group alone, and
    shares of flips are averaged by the number of wrong labels in each group.

    Intervals are those of a bootstrap over examples (in all runs at once) and planted flips. Each
    draw also varies what flips do not tell: how fast the tail of right labels decays, and how far
    the ranks of wrong labels and flips differ. Each draw adds binomial noise, of variance
    sum w (1 - w). Precision p, recall r and the number of wrong labels M satisfy p m = r M: each is
    estimated by itself and from the other two, and its interval spans both.

    Args:
        suspicion: [N] over all runs; NaN for examples without a score.
        user: [S, N] in each run that planted flips; NaN for labels that the run changed.
        planted: [S, P] of the flips that each run planted.
        wanted: target precision of the flagged list, in (0, 1).
        grouping: of examples and flips; one group if not given.
        seed: seed of the bootstrap.

    Returns:
        None if fewer than 20 flips were planted, or if they hardly rank above the user's labels.
    """
    if planted.size < FEWEST:
        return None
    groups = split(user, planted, grouping)
    if not groups:
        return None
    suspicion = matched(groups, suspicion)
    fitted, scored = FittedGroups.to(groups), np.flatnonzero(~np.isnan(suspicion))
    odds = fitted.log_odds(suspicion)
    order = scored[np.argsort(-odds[scored], kind="stable")]
    p_wrong = expit(odds[order])
    precision = np.cumsum(p_wrong) / np.arange(1, len(order) + 1)
    flagged = _longest(precision, p_wrong, wanted)
    lengths = _lengths(len(order), flagged)
    wrong_listed, hidden = _bootstrap(groups, suspicion, order, lengths, seed)
    masses = fitted.masses(suspicion)
    total = float(p_wrong.sum() * (masses / (1 - fitted.hidden(suspicion))).sum())
    wrong = wrong_listed[:, -1:] * (masses / (1 - hidden)).sum(1, keepdims=True)
    recalled, recall_draws = recall(
        fitted,
        suspicion,
        odds[order][lengths - 1],
        wrong=wrong_listed[:, -1],
        hidden=hidden,
        seed=seed,
    )
    lists = pd.DataFrame({"p_wrong": p_wrong[lengths - 1]}, pd.Index(lengths, name="flagged"))
    _add(
        lists,
        "precision",
        precision[lengths - 1],
        wrong_listed / lengths,
        recall_draws * wrong / lengths,
    )
    _add(lists, "recall", recalled, recall_draws, wrong_listed / np.maximum(wrong, 1))
    at = int(np.searchsorted(lengths, flagged))
    # An empty list has no recall to divide by.
    totals = [wrong[:, 0]]
    if flagged:
        totals.append(wrong_listed[:, at] / np.maximum(recall_draws[:, at], 1 / len(order)))
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
    return np.clip(listed + np.sqrt(spread) * rng.standard_normal(), 0, lengths)


def _bootstrap(
    groups: list[Group],
    suspicion: Floats,
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    seed: int,
) -> tuple[Floats, Floats]:
    """Return draws of how many labels are wrong in each list [RESAMPLES, L], and of h [.., K]."""
    rng, wrong, hidden = generator("calibration", seed), [], []
    for fitted in FittedGroups.drawn(groups, RESAMPLES, rng):
        wrong.append(_with_chance(expit(fitted.log_odds(suspicion)[order]), lengths, rng))
        hidden.append(fitted.hidden(suspicion))
    return np.stack(wrong), np.stack(hidden)


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


def recall(
    fitted: FittedGroups,
    suspicion: Floats,
    log_odds: Floats,
    *,
    wrong: Floats,
    hidden: Floats,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the recall [L] of lists down to some log-odds [L], and draws of it [B, L].

    Formula: sum_k v_k ((1 - h_k) r_k + h_k q_k), over the groups k. v_k is the share of wrong
    labels in a group; h_k the share of these that look right, unlike any flip; r_k the share of
    planted flips that are on the list; q_k the share of the h_k that are on it. In each draw, flips
    rank higher or lower by as much as wrong labels may, and r_k is drawn from Jeffreys' posterior
    Beta(hits + 1/2, misses + 1/2). Each draw adds the binomial noise of the wrong labels: ``wrong``
    [B] that resemble flips, with h from ``hidden`` [B, K].
    """
    rng, total = generator("recall", seed), np.maximum(wrong, 1)[:, None]
    mean, drawn = np.zeros(len(log_odds)), np.zeros((len(wrong), len(log_odds)))
    lost = fitted.hidden(suspicion)
    weights = fitted.masses(suspicion) / (1 - lost)
    weights /= weights.sum()
    right = 1 - np.nan_to_num(expit(fitted.log_odds(suspicion)))
    for k, (group, mixture) in enumerate(zip(fitted.groups, fitted.mixtures, strict=True)):
        weight, flips = weights[k], len(group.planted)
        hit = flips - np.searchsorted(mixture.log_odds(group.planted), log_odds)
        moved = _hits(group, mixture, log_odds, group.unlike * rng.standard_normal(len(drawn)))
        reached = _reached(group, mixture, suspicion, right, log_odds)
        # One quantile per draw, so that a longer list never recalls less.
        sampled = stats.beta.ppf(rng.random((len(drawn), 1)), moved + 0.5, flips - moved + 0.5)
        share = sampled + hidden[:, k, None] * (reached - sampled)
        spread = np.sqrt(share * (1 - share) / np.maximum(weight * total, 1))
        mean += weight * ((1 - lost[k]) * hit / flips + lost[k] * reached)
        drawn += weight * np.clip(share + spread * rng.standard_normal((len(drawn), 1)), 0, 1)
    return mean, drawn


def _hits(group: Group, mixture: Mixture, log_odds: Floats, shifts: Floats) -> Floats:
    """Return how many flips are on each list [B, L] if they rank higher by some shift [B]."""
    odds = mixture.log_odds(group.planted + mixture.scale * shifts[:, None])
    below = np.stack([np.searchsorted(row, log_odds) for row in odds])
    return (len(group.planted) - below).astype(np.float64)


def _reached(
    group: Group, mixture: Mixture, suspicion: Floats, right: Floats, log_odds: Floats
) -> Floats:
    """Return the share of wrong labels that look right which is on each list, [L].

    An example that looks like another class has minus its suspicion once it has that label.
    """
    odds = np.nan_to_num(mixture.log_odds(-suspicion), nan=-np.inf)
    order = np.argsort(odds)
    mass = np.concatenate([[0.0], np.cumsum((group.excluded * right)[order])])
    if not mass[-1] > 0:
        return np.ones(len(log_odds))
    below = np.searchsorted(odds[order], log_odds)
    shares: Floats = 1 - mass[below] / mass[-1]
    return shares

"""How many labels are wrong, and how far down the ranking to believe it: by planted flips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from byheart.auditing.tilt import Binned, Tilt, binned, fit_tilt
from byheart.seeds import generator

Floats = NDArray[np.float64]

LEVEL = 0.90
RESAMPLES = 200
FEWEST = 20
"""Planted flips below which nothing is estimated from them."""


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
        threshold: suspicion of the last of them; infinite if there are none.
        precision: estimated share of the list whose labels are wrong; NaN if it is empty.
        recall: estimated share of all wrong labels that the list holds.
        mislabelled: estimated number of wrong labels in the data set.
        curve: for lists of other lengths, by ``flagged``: ``threshold``, and ``precision`` and
            ``recall`` with ``_low`` and ``_high``.
        planted: number of planted flips that this rests on.
        p_wrong: [N] probability that each example's label is wrong; NaN where it has no score.
        level: coverage of the intervals.
    """

    wanted: float
    flagged: int
    threshold: float
    precision: Estimate
    recall: Estimate
    mislabelled: Estimate
    curve: pd.DataFrame
    planted: int
    p_wrong: Floats
    level: float = LEVEL


def calibrate(
    suspicion: Floats, user: Floats, planted: Floats, *, wanted: float, seed: int = 0
) -> Calibration | None:
    r"""Estimate precision and recall of every list of the most suspect examples.

    Formula: with w(s) the probability that a label of suspicion s is wrong (see
    :func:`byheart.auditing.tilt.fit_tilt`), a list of m examples has the expected precision
    1/m sum w(s_i), over the m most suspect, and the data set sum w(s_i) wrong labels. A list's
    recall is the share of planted flips whose suspicion reaches that of its last example.

    Intervals are those of a bootstrap that draws examples (in all seeds at once) and planted flips
    with replacement and fits again; each draw adds the chance by which labels turn out wrong,
    of variance sum w (1 - w). For recall, planted flips are drawn from Jeffreys' posterior of their
    share, Beta(k + 1/2, n - k + 1/2), and the chance is that of as many wrong labels.

    Args:
        suspicion: [N] over all seeds, by which examples are ranked; NaN for those without one.
        user: [S, N] in each seed that planted flips; NaN for those whose label it had changed.
        planted: [S, P] of the flips that each seed planted.
        wanted: precision of the list that is flagged, in (0, 1).
        seed: of the bootstrap.

    Returns:
        None if fewer than 20 flips were planted.
    """
    if planted.size < FEWEST:
        return None
    scored = np.flatnonzero(~np.isnan(suspicion))
    order = scored[np.argsort(-suspicion[scored], kind="stable")]
    ranked = suspicion[order]
    samples = _Samples.of(user, planted)
    p_wrong = samples.fit().wrong(ranked)
    precision = np.cumsum(p_wrong) / np.arange(1, len(p_wrong) + 1)
    flagged = _longest(precision, wanted)
    lengths = _lengths(len(order), flagged)
    found = np.stack(
        [_with_chance(tilt.wrong(ranked), lengths, rng) for tilt, rng in samples.draws(seed)]
    )
    lists = pd.DataFrame({"threshold": ranked[lengths - 1]}, pd.Index(lengths, name="flagged"))
    _add(lists, "precision", precision[lengths - 1], found / lengths)
    recalled = _recalled(planted, lists["threshold"].to_numpy(), found[:, -1], seed)
    _add(lists, "recall", *recalled)
    everywhere = np.full(len(suspicion), np.nan)
    everywhere[order] = p_wrong
    row = lists.iloc[int(np.searchsorted(lengths, flagged))] if flagged else None
    return Calibration(
        wanted=wanted,
        flagged=flagged,
        threshold=float(ranked[flagged - 1]) if flagged else float("inf"),
        precision=_estimate(row, "precision", np.nan),
        recall=_estimate(row, "recall", 0.0),
        mislabelled=Estimate(float(p_wrong.sum()), *_interval(found[:, -1], float(p_wrong.sum()))),
        curve=lists,
        planted=planted.size,
        p_wrong=everywhere,
    )


@dataclass(frozen=True, eq=False)
class _Samples:
    """Scores of both kinds, in bins, and which example each of the user's belongs to."""

    data: Binned
    example: NDArray[np.int64]
    examples: int

    @classmethod
    def of(cls, user: Floats, planted: Floats) -> _Samples:
        known = ~np.isnan(user)
        data = binned(user[known], planted[~np.isnan(planted)])
        return cls(data, np.nonzero(known)[1], user.shape[1])

    def fit(self) -> Tilt:
        return fit_tilt(self.data)

    def draws(self, seed: int) -> Iterator[tuple[Tilt, np.random.Generator]]:
        """Yield the fit of each bootstrap sample, and random numbers to go on with."""
        rng, flips = generator("calibration", seed), len(self.data.planted)
        for _ in range(RESAMPLES):
            each = np.bincount(rng.integers(self.examples, size=self.examples), None, self.examples)
            planted = np.bincount(rng.integers(flips, size=flips), None, flips)
            yield fit_tilt(self.data, each[self.example].astype(float), planted.astype(float)), rng


def _with_chance(p_wrong: Floats, lengths: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return how many labels are wrong in lists of some lengths: normal around the mean."""
    listed = np.cumsum(p_wrong)[lengths - 1]
    spread = np.cumsum(p_wrong * (1 - p_wrong))[lengths - 1]
    found = listed + np.sqrt(spread) * rng.standard_normal()
    return np.clip(found, 0, lengths)


def _recalled(
    planted: Floats, thresholds: Floats, wrong: Floats, seed: int
) -> tuple[Floats, Floats]:
    """Return the recall [L] at each threshold, and draws of it [RESAMPLES, L]."""
    scores = np.sort(planted[~np.isnan(planted)])
    count = len(scores)
    hit = count - np.searchsorted(scores, thresholds)
    rng = generator("recall", seed)
    # One quantile per draw, so that a longer list never recalls less.
    quantiles = rng.random((RESAMPLES, 1))
    share = stats.beta.ppf(quantiles, hit + 0.5, count - hit + 0.5)
    chance = np.sqrt(share * (1 - share) / np.maximum(wrong, 1)[:, None])
    drawn = share + chance * rng.standard_normal((RESAMPLES, 1))
    return hit / count, np.clip(drawn, 0, 1)


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

"""Calibration: how many labels are wrong, and precision and recall of lists, by reviews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from byheart.auditing.isotonic import DROP, ONE_SIDED, ONE_SIDED_NORMAL, Reviewed, strata_of
from byheart.auditing.planting import KINDS, NO_BOUNDS, Planted, bounds_of
from byheart.auditing.reviews import UNSURE, Reviews, Verdicts, read_reviews
from byheart.errors import InputError
from byheart.statistics.estimate import Estimate

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Ends = tuple[Floats, Floats, Floats]
"""Estimates and both ends of their intervals, [L] each."""

LEVEL = 0.90
SHOWN = 50
"""About as many examples are listed if no list has the target precision for certain."""
MOST_KNOWN = 0.5
"""An upper bound on the share of wrong labels from here on tells nothing."""
NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How many labels are wrong, and how precise the list is.

    Without reviews, these numbers are unknown (NaN), or ends of intervals that planted flips bound.

    Attributes:
        wanted: target precision of the list.
        flagged: ids on the list, the likeliest to be wrong first. Labels that a reviewer called
            right are not on it.
        assured: whether the precision of the list is at least ``wanted`` with a confidence of 90%.
            If no list is, the list holds the first of the ranking, about 50.
        precision: share of the listed labels that are wrong.
        recall: share of all wrong labels that are listed.
        mislabelled: number of wrong labels among all examples.
        by_class: for each label, by ``label``: ``examples``, and ``wrong`` with its interval. The
            estimate assumes that labels of the same rank are equally likely to be wrong in all
            classes; the interval comes from reviews of the class alone, and spans the estimate.
        p_wrong: [N] probability that each label is wrong: 1 or 0 if reviewed; NaN if unknown.
        reviews: the reviews; None without.
        kinds: what planted flips say, by ``kind``: see :func:`byheart.auditing.planting.bounds_of`.
        ranking: ids of all judged examples, the most suspect first.
        level: coverage of the intervals.
        estimates: what :meth:`of` needs.
    """

    wanted: float
    flagged: Ids
    assured: bool
    precision: Estimate
    recall: Estimate
    mislabelled: Estimate
    by_class: pd.DataFrame
    p_wrong: Floats
    reviews: Reviews | None
    kinds: pd.DataFrame
    ranking: Ids
    level: float = LEVEL
    estimates: tuple[Estimates, ...] = field(default=(), repr=False)

    @property
    def basis(self) -> str:
        """What the numbers come from: "reviews", "planted", "planted and reviews" or "none"."""
        known = {"planted": len(self.kinds) > 0, "reviews": self.reviews is not None}
        return " and ".join(name for name, there in known.items() if there) or "none"

    def of(self, ids: ArrayLike) -> tuple[Estimate, Estimate]:
        """Return precision and recall of any list of examples.

        Raises:
            InputError: there are no reviews, or none of the examples was judged.
        """
        member = np.isin(self.ranking, np.asarray(ids, np.int64))
        if not self.estimates or not member.any():
            raise InputError(
                "precision of a list is known only with reviews, and of one judged example or more"
            )
        if np.array_equal(member, np.isin(self.ranking, self.flagged)):
            return self.precision, self.recall
        return _precision(self.estimates, member), _spanned(
            self.estimates, member, Estimates.recall
        )

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Lists of the first examples of the ranking, by ``length``; empty without reviews.

        ``p_wrong`` is that of the last example; ``precision`` and ``recall`` have ``_low`` and
        ``_high``.
        """
        if not self.estimates:
            return pd.DataFrame()
        tables = [estimate.prefixes() for estimate in self.estimates]
        curve = tables[0]
        for name in ("precision", "recall"):
            for end, pick in (("low", np.min), ("high", np.max)):
                column = f"{name}_{end}"
                curve[column] = pick([table[column] for table in tables], axis=0)
        return curve

    @property
    def further(self) -> int:
        """Number of further reviews that would halve the intervals: widths fall as 1/sqrt(n)."""
        return 3 * (0 if self.reviews is None else len(self.reviews.ids))

    def if_reviewers_err(self, share: float = 0.05) -> Estimate:
        """Return the number of wrong labels if this share of all verdicts is wrong.

        Formula: (M - e N) / (1 - 2 e), with M the number by the verdicts, and N examples.
        """
        judged, m = int((~np.isnan(self.p_wrong)).sum()), self.mislabelled
        ends = [(v - share * judged) / (1 - 2 * share) for v in (m.value, m.low, m.high)]
        return Estimate(*np.clip(ends, 0, judged).tolist())


def calibrate(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    planted: Planted | None = None,
    reviews: Verdicts | Sequence[Verdicts] | None = None,
    precision: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """Return how many labels are wrong, and a list of them, for anybody's ranking.

    With ``reviews`` of a few examples, everything is estimated from these: see
    :mod:`byheart.auditing.isotonic`. Otherwise, ``planted`` labels give an upper bound.

    Args:
        scores: [N] of each label, higher if it is more suspect: a loss, minus AUM, minus cleanlab's
            label quality. Or [N, classes] predicted probabilities, best out of fold.
        labels: [N] whole numbers, as trained on.
        planted: labels that were changed before training; see :func:`byheart.plant`.
        reviews: verdicts by id, a table or a CSV file with the columns ``id`` and ``verdict``
            ("wrong", "right" or "unsure"), or a list of these: one per reviewer.
        precision: target precision of the list.
        seed: has no effect, since nothing is drawn; there for scripts that pass it.

    Raises:
        InputError: scores that are NaN or of another length than labels, reviews of examples that
            do not exist, too few reviews, or planted labels that were changed back.

    Example:
        >>> scores, labels = list(range(100)), [0, 1] * 50
        >>> found = calibrate(scores, labels, reviews={i: i >= 90 for i in range(0, 100, 3)})
        >>> found.mislabelled.low <= 10 <= found.mislabelled.high
        True
    """
    y, values = np.asarray(labels), np.asarray(scores, np.float64)
    if y.ndim != 1 or not len(y) or y.dtype.kind not in "iu":
        raise InputError(f"labels must be whole numbers [N], got {list(y.shape)} of {y.dtype}")
    if values.ndim == 2 and len(values) == len(y):
        values = _doubts(values, y)
    if values.shape != y.shape:
        raise InputError(
            f"scores must be one per label, [{len(y)}], or probabilities [{len(y)}, classes], got "
            f"{list(values.shape)}"
        )
    if np.isnan(values).any():
        first = int(np.flatnonzero(np.isnan(values))[0])
        raise InputError(f"scores are NaN for {np.isnan(values).sum()} examples, first {first}")
    kinds = NO_BOUNDS
    if planted is not None:
        planted.require_trained_on(y)
        kinds = bounds_of(values, planted)
        values[planted.ids] = np.nan
    found = None if reviews is None else read_reviews(reviews, len(y))
    return calibrated(values, y.astype(np.int64), found, kinds, require_precision(precision))


def calibrated(
    suspicion: Floats, labels: Ids, reviews: Reviews | None, kinds: pd.DataFrame, wanted: float
) -> Calibration:
    """Return the calibration of a ranking; examples whose suspicion is NaN are not judged."""
    order = ranking_of(suspicion)
    if reviews is None:
        return _without_reviews(order, len(labels), kinds, wanted)
    unjudged = reviews.ids[np.isnan(suspicion[reviews.ids])]
    if len(unjudged):
        raise InputError(
            f"reviews contain example {unjudged[0]}, which has no score: it was never seen, or its "
            "label was changed on purpose"
        )
    ways = [NAN] if not reviews.count(UNSURE) else [NAN, 0.0, 1.0]
    bounds = strata_of(len(order))
    strata = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    estimates = [Estimates(reviews.values(len(labels), way)[order], strata) for way in ways]
    main = estimates[0]
    certain = min(estimate.assured(wanted) for estimate in estimates)
    stratum = certain or _nearest(main.bounds)
    p_wrong = np.full(len(labels), np.nan)
    p_wrong[order] = main.p_wrong
    # The first strata without reviewed right labels, and all reviewed wrong labels first.
    wrong = main.values == 1
    listed = np.concatenate([order[wrong], order[(strata < stratum) & np.isnan(main.values)]])
    member = np.isin(order, listed)
    precision = _precision(estimates, member)
    if not certain and len(listed):
        precision = _without_order(estimates, member, stratum, precision)
    return Calibration(
        wanted=wanted,
        flagged=listed,
        assured=certain > 0,
        precision=precision,
        recall=_spanned(estimates, member, Estimates.recall),
        mislabelled=_spanned(estimates, np.ones(len(order), bool), Estimates.wrong),
        by_class=_by_class(order, labels, estimates),
        p_wrong=p_wrong,
        reviews=reviews,
        kinds=kinds,
        ranking=order,
        estimates=tuple(estimates),
    )


def ranking_of(suspicion: Floats) -> Ids:
    """Return the ids of all examples with a score, the most suspect first."""
    order = np.argsort(-suspicion, kind="stable")
    ids: Ids = order[~np.isnan(suspicion[order])]
    return ids


def require_precision(precision: float) -> float:
    """Return a target precision that is between 0 and 1."""
    if not 0 < precision < 1:
        raise InputError(f"precision must be above 0 and below 1, got {precision!r}")
    return float(precision)


class Estimates:
    """Numbers from reviewed labels, with every unsure verdict counted in the same way.

    A number of wrong labels is that of the reviewed ones, plus sum_h r_h p_h over the r_h others of
    each stratum. Its interval adds the binomial noise of these others to that of p.
    """

    def __init__(self, values: Floats, strata: Ids) -> None:
        self.values, self.strata = values, strata
        count, known = int(strata[-1]) + 1, ~np.isnan(values)
        wrong = np.bincount(strata[known], values[known], count).astype(float)
        reviewed = np.bincount(strata[known], minlength=count).astype(float)
        self.counts = Reviewed(wrong, reviewed)
        self.sizes = np.bincount(strata, minlength=count)
        self.rest = self.sizes - reviewed
        self.chance = self.counts.chance

    @property
    def bounds(self) -> Ids:
        """Length of the list that ends with each stratum, [H]."""
        return np.cumsum(self.sizes)

    @property
    def p_wrong(self) -> Floats:
        """Probability that each label is wrong, in the order of the ranking."""
        return np.where(np.isnan(self.values), self.chance[self.strata], self.values)

    def lists(self, member: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return of a list, given by position [n], the weights [1, H] and known wrong labels [1].

        Weights are the numbers of labels without review in each stratum.
        """
        rest = self.strata[member & np.isnan(self.values)]
        weights = np.bincount(rest, minlength=len(self.rest)).astype(float)
        return weights[None], np.array([(member & (self.values == 1)).sum()], float)

    @property
    def first(self) -> tuple[Floats, Floats]:
        """The same of the lists that end with each stratum, [H, H] and [H]."""
        return np.tril(np.ones((len(self.rest),) * 2)) * self.rest, np.cumsum(self.counts.wrong)

    def end(
        self,
        weights: Floats,
        known: Floats,
        sign: int,
        drop: float = DROP,
        normal: float = DROP,
    ) -> Floats:
        """Return an end [L] of the number of wrong labels of lists.

        The limits c are ``drop`` for p, and ``normal`` for the noise of labels without review.
        """
        mean = weights @ self.chance
        end, variance = self.counts.extremes(weights, sign, drop)
        spread = np.hypot(end - mean, np.sqrt(normal * np.maximum(variance, 0)))
        ends: Floats = known + np.clip(mean + sign * spread, 0, weights.sum(-1))
        return ends

    def assured(self, wanted: float) -> int:
        """Return how many strata the longest list has whose precision is as wanted, or 0.

        A list is tested by the lower end of a one-sided 90% interval. By assumption precision falls
        with length, so the hypotheses are nested: the tests need no correction for their number.
        """
        low = self.end(*self.first, -1, ONE_SIDED, ONE_SIDED_NORMAL) / self.bounds
        enough = np.flatnonzero(low >= wanted)
        return int(enough[-1]) + 1 if len(enough) else 0

    def wrong(self, weights: Floats, known: Floats) -> Ends:
        """Return the number of wrong labels of lists, and both its ends."""
        low, high = (self.end(weights, known, sign) for sign in (-1, 1))
        return known + weights @ self.chance, low, high

    def recall(self, weights: Floats, known: Floats) -> Ends:
        """Return the recall of lists, and both its ends; unknown if nothing seems wrong."""
        all_known = float(self.counts.wrong.sum())
        total = all_known + self.rest @ self.chance
        if not total > 0:
            return np.full(len(known), NAN), np.zeros(len(known)), np.ones(len(known))
        mean = (known + weights @ self.chance) / total
        low, high = self.counts.ratios(weights, known, self.rest, all_known)
        noise = self.chance * (1 - self.chance)
        inside, outside = weights @ noise, (self.rest - weights) @ noise
        spread = np.sqrt(DROP * ((1 - mean) ** 2 * inside + mean**2 * outside)) / total
        ends = mean - np.hypot(mean - low, spread), mean + np.hypot(high - mean, spread)
        return mean, np.clip(ends[0], 0, 1), np.clip(ends[1], 0, 1)

    def prefixes(self) -> pd.DataFrame:
        """Return precision and recall of the lists that end where a stratum ends."""
        precision = [wrong / self.bounds for wrong in self.wrong(*self.first)]
        columns = {"p_wrong": self.chance}
        for name, values in (("precision", precision), ("recall", self.recall(*self.first))):
            columns |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
        return pd.DataFrame(columns, pd.Index(self.bounds, name="length"))


def _spanned(
    estimates: Sequence[Estimates],
    member: NDArray[np.bool_],
    measure: Callable[[Estimates, Floats, Floats], Ends],
) -> Estimate:
    """Return the first estimate of a list, with an interval that spans those of all."""
    parts = [measure(estimate, *estimate.lists(member)) for estimate in estimates]
    low, high = min(part[1][0] for part in parts), max(part[2][0] for part in parts)
    return Estimate(float(parts[0][0][0]), float(low), float(high))


def _precision(estimates: Sequence[Estimates], member: NDArray[np.bool_]) -> Estimate:
    if not member.any():
        return UNKNOWN
    wrong, length = _spanned(estimates, member, Estimates.wrong), int(member.sum())
    return Estimate(wrong.value / length, wrong.low / length, wrong.high / length)


def _without_order(
    estimates: Sequence[Estimates], member: NDArray[np.bool_], stratum: int, precision: Estimate
) -> Estimate:
    """Return the precision of a short list, with an interval that spans that of its own reviews.

    The chance to be wrong need not fall within the first strata: some odd examples with right
    labels are the most suspect of all. The other reviews cannot tell. So the interval spans the
    90% interval of Clopper & Pearson from the reviews of these strata alone.
    """
    low, high = precision.low, precision.high
    for estimate in estimates:
        first = estimate.counts
        k, n = first.wrong[:stratum].sum(), first.reviewed[:stratum].sum()
        ends = stats.beta.ppf([0.05, 0.95], [k, k + 1], [n - k + 1, n - k])
        known = int((member & (estimate.values == 1)).sum())
        rest = int((member & np.isnan(estimate.values)).sum())
        least, most = (known + rest * np.where(np.isnan(ends), [0, 1], ends)) / member.sum()
        low, high = min(low, float(least)), max(high, float(most))
    return Estimate(precision.value, low, high)


def _nearest(ends: Ids) -> int:
    """Return the number of strata whose list is nearest to 50 examples."""
    return int(np.abs(ends - SHOWN).argmin()) + 1


def _by_class(order: Ids, labels: Ids, estimates: Sequence[Estimates]) -> pd.DataFrame:
    """Return the number of wrong labels of each class; see :class:`Calibration`."""
    classes = np.unique(labels[order])
    rows = []
    for label in classes:
        member = labels[order] == label
        wrong = float(estimates[0].p_wrong[member].sum())
        parts = [Estimates(e.values[member], e.strata[member]) for e in estimates]
        alone = _spanned(parts, np.ones(int(member.sum()), bool), Estimates.wrong)
        rows.append((int(member.sum()), wrong, min(alone.low, wrong), max(alone.high, wrong)))
    names = ["examples", "wrong", "wrong_low", "wrong_high"]
    return pd.DataFrame(rows, pd.Index(classes, name="label"), names)


def _without_reviews(order: Ids, examples: int, kinds: pd.DataFrame, wanted: float) -> Calibration:
    """Return what is known without reviews: the first examples, and what planted flips bound."""
    bounds = strata_of(len(order))
    length = int(bounds[_nearest(bounds[1:])]) if len(order) else 0
    most = kinds["most_wrong"].max() if set(kinds.index) == set(KINDS) else 1.0
    known = most < MOST_KNOWN
    return Calibration(
        wanted=wanted,
        flagged=order[:length],
        assured=False,
        precision=UNKNOWN,
        recall=UNKNOWN,
        mislabelled=Estimate(NAN, 0.0, float(most * len(order))) if known else UNKNOWN,
        by_class=pd.DataFrame(),
        p_wrong=np.full(examples, np.nan),
        reviews=None,
        kinds=kinds,
        ranking=order,
    )


def _doubts(probabilities: Floats, y: NDArray[np.integer]) -> Floats:
    """Return the largest probability of another class, less that of the label, [N]."""
    if probabilities.shape[1] <= y.max() or y.min() < 0:
        raise InputError(
            f"labels must be 0 to {probabilities.shape[1] - 1}, one of the classes of scores"
        )
    rows, others = np.arange(len(y)), probabilities.copy()
    others[rows, y] = -np.inf
    doubts: Floats = others.max(1) - probabilities[rows, y]
    return doubts

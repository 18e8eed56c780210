"""Two groups of labels, calibrated apart: labels of classes that are often confused, and others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from byheart.auditing.mixture import (
    Binned,
    Mixture,
    are_told_apart,
    fit_mixture,
    fit_mixtures,
    in_bins,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST = 20
"""Planted flips below which nothing is estimated from them."""
UNLIKE, UNLIKE_CONFUSED = 0.1, 0.2
"""How far the mean rank of wrong labels differs from that of planted flips, in standard deviations
of the flips' scores: a standard deviation over data sets, and the same for confused classes. Both
were measured on data with known labels: docs/decisions/tails.md."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which examples and which flips are of classes that are confused.

    Attributes:
        user: bool [N] of an example's suggested class and its label.
        planted: bool [S, P] of a flip's class and its new label.
        excluded: [2, N] for either group, how many flips each example stands for that were not
            planted because it looks like the new label; see
            :func:`byheart.auditing.planting.excluded_flips`. None counts as 0.
    """

    user: Flags
    planted: Flags
    excluded: Floats | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Scores of one group.

    Attributes:
        member: bool [N] the examples in it.
        data: scores of the user's labels and of planted flips, in bins.
        example: int64 [n] the example that each of the user's scores belongs to.
        user: [n] the user's scores.
        planted: [m] scores of planted flips, ascending.
        excluded: [N] wrong labels that look right, for one wrong label that does not.
        unlike: standard deviation of the difference in rank of wrong labels and planted flips, in
            the unit of ``data``.
    """

    member: Flags
    data: Binned
    example: NDArray[np.int64]
    user: Floats
    planted: Floats
    excluded: Floats
    unlike: float

    def refit(self, rng: np.random.Generator, user: Floats) -> list[Mixture]:
        """Return fits to D samples with replacement; each draws what flips do not tell as well.

        ``user`` [D, bins] counts the user's scores in each bin, in each sample.
        """
        flips = len(self.data.planted)
        planted = [
            self.data.planted_counts(rng.integers(flips, size=flips), shift)
            for shift in self.unlike * rng.standard_normal(len(user))
        ]
        surprise = rng.standard_normal(len(user))
        return fit_mixtures(self.data, user, np.stack(planted), surprise)


def split(user: Floats, planted: Floats, grouping: Grouping | None) -> list[Group]:
    """Return the two groups, or one group of all examples if either has too few flips.

    There is no group at all if flips [S, P] hardly rank above the user's scores [S, N].
    """
    if not are_told_apart(user[~np.isnan(user)], planted[~np.isnan(planted)]):
        return []
    member, flips = np.zeros(user.shape[1], bool), np.zeros(planted.shape, bool)
    excluded = np.zeros((2, user.shape[1]))
    if grouping is not None and grouping.excluded is not None:
        excluded = grouping.excluded
    if grouping is not None and FEWEST <= grouping.planted.sum() <= planted.size - FEWEST:
        member, flips, unlike = grouping.user, grouping.planted, UNLIKE_CONFUSED
    else:
        excluded, unlike = excluded.sum(0, keepdims=True), UNLIKE
    groups = []
    for confused in (False, True):
        known = ~np.isnan(user) & (member == confused)
        scores = np.sort(planted[(flips == confused) & ~np.isnan(planted)])
        if known.any() and len(scores):
            groups.append(
                Group(
                    member=member == confused,
                    data=in_bins(user[known], scores),
                    example=np.nonzero(known)[1],
                    user=user[known],
                    planted=scores,
                    excluded=excluded[int(confused)] / (flips == confused).sum(),
                    unlike=unlike,
                )
            )
    return groups


def matched(groups: list[Group], suspicion: Floats) -> Floats:
    """Return the scores of the same rank in the runs that planted flips, [N].

    Runs without planted flips give larger margins, so quantiles are matched before calibrating.
    """
    scores = np.full(len(suspicion), np.nan)
    for group in groups:
        scored = np.flatnonzero(group.member & ~np.isnan(suspicion))
        ranks = stats.rankdata(suspicion[scored]) - 0.5
        ordered = np.sort(group.user)
        # numpy.quantile takes quadratic time for as many quantiles as numbers.
        at = ranks / max(len(scored), 1) * (len(ordered) - 1)
        scores[scored] = np.interp(at, np.arange(len(ordered)), ordered)
    return scores


@dataclass(frozen=True, eq=False)
class FittedGroups:
    """One fitted mixture per group."""

    groups: list[Group]
    mixtures: list[Mixture]

    @classmethod
    def to(cls, groups: list[Group]) -> FittedGroups:
        """Return the fits to all scores."""
        return cls(groups, [fit_mixture(group.data) for group in groups])

    @classmethod
    def drawn(cls, groups: list[Group], count: int, rng: np.random.Generator) -> list[FittedGroups]:
        """Return fits to bootstrap samples of examples (in all runs at once) and of flips."""
        examples = len(groups[0].member)
        user: list[list[Floats]] = [[] for _ in groups]
        for _ in range(count):
            times = np.bincount(rng.integers(examples, size=examples), None, examples)
            for counts, group in zip(user, groups, strict=True):
                counts.append(group.data.user_counts(times[group.example]))
        fits = [group.refit(rng, np.stack(c)) for c, group in zip(user, groups, strict=True)]
        return [cls(groups, list(mixtures)) for mixtures in zip(*fits, strict=True)]

    def log_odds(self, suspicion: Floats) -> Floats:
        """Return the log-odds [N] that each label is wrong."""
        odds = np.full(len(suspicion), -np.inf)
        for group, mixture in zip(self.groups, self.mixtures, strict=True):
            odds[group.member] = mixture.log_odds(suspicion[group.member])
        return odds

    def hidden(self, suspicion: Floats) -> Floats:
        """Return the share of each group's wrong labels that look right, unlike any planted flip.

        Formula: c / (1 + c) with c = sum_i c_i (1 - w_i), c_i the number of such labels expected on
        example i (``Group.excluded``), and w_i the probability that its label is wrong.
        """
        right = 1 - np.nan_to_num(expit(self.log_odds(suspicion)))
        expected = np.array([group.excluded @ right for group in self.groups])
        shares: Floats = expected / (1 + expected)
        return shares

    def masses(self, suspicion: Floats) -> Floats:
        """Return the share of wrong labels that is in each group."""
        p_wrong = np.nan_to_num(expit(self.log_odds(suspicion)))
        expected = np.array([p_wrong[group.member].sum() for group in self.groups])
        total = expected.sum()
        shares: Floats = (
            expected / total if total > 0 else np.full(len(expected), 1 / len(expected))
        )
        return shares

"""Two kinds of doubt, calibrated apart: labels of classes that are often confused, and others."""

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
"""By how much wrong labels rank higher or lower than planted flips on average, in standard
deviations of these: the standard deviation of that between data sets, and the same where classes
are confused. Like the tail's decay, it was measured with known labels: docs/decisions/tails.md."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """Which examples and which flips are of classes that are confused.

    Attributes:
        user: bool [N] of an example's suggested class and its label.
        planted: bool [S, P] of a planted flip's class and its label.
        mirrored: [2, N] of the rest and of these, how many flips would have been planted on an
            example, if those that seem to deserve their new label were not left out; none if not
            given. See :func:`byheart.auditing.planting.mirrored`.
    """

    user: Flags
    planted: Flags
    mirrored: Floats | None = None


@dataclass(frozen=True, eq=False)
class Kind:
    """Scores of one kind.

    Attributes:
        member: bool [N] which examples are of it.
        data: scores of the user and of planted flips, in bins.
        example: int64 [n] which example each of the user's scores belongs to.
        user: [n] the scores.
        planted: [m] scores of planted flips, ascending.
        mirrored: [N] chance that a wrong label of this kind lies on an example whose label is
            right, and which looks as if it deserved that wrong one.
        unlike: by how much wrong labels may rank elsewhere than planted flips, in the unit of
            ``data``.
    """

    member: Flags
    data: Binned
    example: NDArray[np.int64]
    user: Floats
    planted: Floats
    mirrored: Floats
    unlike: float

    def refit(self, rng: np.random.Generator, user: Floats) -> list[Mixture]:
        """Return fits to samples with replacement, each with another guess of what is not known.

        Args:
            rng: draws planted flips, how far wrong labels are from them, and where the tail is.
            user: [D, bins] how many of the user's scores are in each bin, in each sample.
        """
        flips = len(self.data.planted)
        planted = [
            self.data.planted_counts(rng.integers(flips, size=flips), shift)
            for shift in self.unlike * rng.standard_normal(len(user))
        ]
        surprise = rng.standard_normal(len(user))
        return fit_mixtures(self.data, user, np.stack(planted), surprise)


def split(user: Floats, planted: Floats, kinds: Kinds | None) -> list[Kind]:
    """Return the kinds that have flips enough; one of all examples, if either has too few.

    Args:
        user: [S, N] scores; NaN where there is none.
        planted: [S, P] scores.
        kinds: of both.

    Returns:
        None at all if flips rank hardly above the user's labels.
    """
    if not are_told_apart(user[~np.isnan(user)], planted[~np.isnan(planted)]):
        return []
    member, flips = np.zeros(user.shape[1], bool), np.zeros(planted.shape, bool)
    mirrored = np.zeros((2, user.shape[1]))
    if kinds is not None and kinds.mirrored is not None:
        mirrored = kinds.mirrored
    if kinds is not None and FEWEST <= kinds.planted.sum() <= planted.size - FEWEST:
        member, flips, unlike = kinds.user, kinds.planted, UNLIKE_CONFUSED
    else:
        mirrored, unlike = mirrored.sum(0, keepdims=True), UNLIKE
    found = []
    for kind in (False, True):
        known = ~np.isnan(user) & (member == kind)
        scores = np.sort(planted[(flips == kind) & ~np.isnan(planted)])
        if known.any() and len(scores):
            data = in_bins(user[known], scores)
            examples, chance = np.nonzero(known)[1], mirrored[int(kind)] / (flips == kind).sum()
            one = Kind(member == kind, data, examples, user[known], scores, chance, unlike)
            found.append(one)
    return found


def matched(kinds: list[Kind], suspicion: Floats) -> Floats:
    """Return suspicion as it would be in the seeds that planted flips: of the same rank."""
    found = np.full(len(suspicion), np.nan)
    for kind in kinds:
        scored = np.flatnonzero(kind.member & ~np.isnan(suspicion))
        ranks = stats.rankdata(suspicion[scored]) - 0.5
        own = np.sort(kind.user)
        # What numpy.quantile is, which takes quadratic time for as many shares as numbers.
        at = ranks / max(len(scored), 1) * (len(own) - 1)
        found[scored] = np.interp(at, np.arange(len(own)), own)
    return found


@dataclass(frozen=True, eq=False)
class Fitted:
    """One fit per kind.

    Attributes:
        kinds: as split.
        mixtures: their fits.
    """

    kinds: list[Kind]
    mixtures: list[Mixture]

    @classmethod
    def to(cls, kinds: list[Kind]) -> Fitted:
        """Return the fits to all scores."""
        return cls(kinds, [fit_mixture(kind.data) for kind in kinds])

    @classmethod
    def drawn(cls, kinds: list[Kind], count: int, rng: np.random.Generator) -> list[Fitted]:
        """Return fits to bootstrap samples of examples, in all seeds at once, and of flips."""
        examples = len(kinds[0].member)
        user: list[list[Floats]] = [[] for _ in kinds]
        for _ in range(count):
            times = np.bincount(rng.integers(examples, size=examples), None, examples)
            for own, kind in zip(user, kinds, strict=True):
                own.append(kind.data.user_counts(times[kind.example]))
        fits = [kind.refit(rng, np.stack(own)) for own, kind in zip(user, kinds, strict=True)]
        return [cls(kinds, list(mixtures)) for mixtures in zip(*fits, strict=True)]

    def log_odds(self, suspicion: Floats) -> Floats:
        """Return the log-odds [N] that each label is wrong."""
        found = np.full(len(suspicion), -np.inf)
        for kind, mixture in zip(self.kinds, self.mixtures, strict=True):
            found[kind.member] = mixture.log_odds(suspicion[kind.member])
        return found

    def hidden(self, suspicion: Floats) -> Floats:
        """Return the share of wrong labels of each kind that no planted flip is like.

        Formula: sum_i c_i (1 - w_i), with c_i the chance that a wrong label lies on example i (see
        ``Kind.mirrored``) and w_i the probability that its label is wrong as it is.
        """
        right = 1 - np.nan_to_num(expit(self.log_odds(suspicion)))
        each = np.array([kind.mirrored @ right for kind in self.kinds])
        shares: Floats = each / (1 + each)
        return shares

    def masses(self, suspicion: Floats) -> Floats:
        """Return the share of wrong labels that is of each kind."""
        p_wrong = np.nan_to_num(expit(self.log_odds(suspicion)))
        each = np.array([p_wrong[kind.member].sum() for kind in self.kinds])
        total = each.sum()
        shares: Floats = each / total if total > 0 else np.full(len(each), 1 / len(each))
        return shares

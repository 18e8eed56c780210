"""Two kinds of doubt, calibrated apart: labels of classes that are often confused, and others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from byheart.auditing.tilt import Binned, Tilt, binned, fit_tilt

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST = 20
"""Planted flips below which nothing is estimated from them."""


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
        planted: [m] scores of planted flips, ascending.
        mirrored: [N] chance that a wrong label of this kind lies on an example whose label is
            right, and which looks as if it deserved that wrong one.
    """

    member: Flags
    data: Binned
    example: NDArray[np.int64]
    planted: Floats
    mirrored: Floats

    def fit(self, rng: np.random.Generator | None = None, times: Floats | None = None) -> Tilt:
        """Return the fit to all scores, or to a sample of them with replacement.

        Args:
            rng: draws planted flips.
            times: [N] how often each example was drawn.
        """
        if rng is None or times is None:
            return fit_tilt(self.data)
        flips = len(self.planted)
        drawn = np.bincount(rng.integers(flips, size=flips), None, flips).astype(float)
        return fit_tilt(self.data, times[self.example], drawn)


def split(user: Floats, planted: Floats, kinds: Kinds | None) -> list[Kind]:
    """Return the kinds that have flips enough; one of all examples, if either has too few.

    Args:
        user: [S, N] scores; NaN where there is none.
        planted: [S, P] scores.
        kinds: of both.
    """
    member, flips = np.zeros(user.shape[1], bool), np.zeros(planted.shape, bool)
    mirrored = np.zeros((2, user.shape[1]))
    if kinds is not None and kinds.mirrored is not None:
        mirrored = kinds.mirrored
    if kinds is not None and FEWEST <= kinds.planted.sum() <= planted.size - FEWEST:
        member, flips = kinds.user, kinds.planted
    else:
        mirrored = mirrored.sum(0, keepdims=True)
    found = []
    for kind in (False, True):
        known = ~np.isnan(user) & (member == kind)
        scores = planted[(flips == kind) & ~np.isnan(planted)]
        if known.any() and len(scores):
            data = binned(user[known], scores)
            examples, chance = np.nonzero(known)[1], mirrored[int(kind)] / (flips == kind).sum()
            found.append(Kind(member == kind, data, examples, np.sort(scores), chance))
    return found


@dataclass(frozen=True, eq=False)
class Fitted:
    """One fit per kind.

    Attributes:
        kinds: as split.
        tilts: their fits.
    """

    kinds: list[Kind]
    tilts: list[Tilt]

    @classmethod
    def to(cls, kinds: list[Kind], rng: np.random.Generator | None = None) -> Fitted:
        """Return the fits to all scores, or to one bootstrap sample of examples and flips."""
        if rng is None:
            return cls(kinds, [kind.fit() for kind in kinds])
        examples = len(kinds[0].member)
        times = np.bincount(rng.integers(examples, size=examples), None, examples).astype(float)
        return cls(kinds, [kind.fit(rng, times) for kind in kinds])

    def log_odds(self, suspicion: Floats) -> Floats:
        """Return the log-odds [N] that each label is wrong."""
        found = np.full(len(suspicion), -np.inf)
        for kind, tilt in zip(self.kinds, self.tilts, strict=True):
            found[kind.member] = tilt.log_odds(suspicion[kind.member])
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

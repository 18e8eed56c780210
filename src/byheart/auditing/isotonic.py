r"""Estimate how many labels are wrong from a few reviewed ones, if the chance falls with the rank.

The ranking is cut into H strata. In stratum h, n_h labels were reviewed and k_h of them are wrong;
p_h is the chance that a label there is wrong. The only assumption is p_1 >= p_2 >= ... >= p_H. The
log-likelihood is l(p) = sum_h k_h log p_h + (n_h - k_h) log(1 - p_h). An estimate is that of the p
with the highest likelihood. An interval spans the values at all p with 2 (max l - l(p)) <= c. A
stratum in which nothing wrong was found still has an upper end that way.

Source: intervals by the likelihood ratio, Wilks (1938), "The large-sample distribution of the
likelihood ratio"; likelihoods under an order restriction, Robertson, Wright & Dykstra (1988),
"Order restricted statistical inference", chapter 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

STRATA = 20
NARROWING = 1.75
"""Power by which strata are narrower where labels are likelier to be wrong."""
DROP = 4.0
"""c of a 90% interval. Wilks' limit for large samples is 2.71; with 100 reviews intervals of that
width hold the truth less often where the chance falls steeply (docs/decisions/reviews.md)."""
ONE_SIDED, ONE_SIDED_NORMAL = 4.6, 1.64
"""c of a one-sided 90% bound: -2 log 0.1, which is exact if all n reviewed labels are wrong
(p^n = 0.1) and holds more often otherwise; and 1.28^2, for a normal error."""
FLATTEST, STEEPEST = 1e-3, 1e4
"""Smallest and largest tilt in :meth:`Reviewed.extremes`, in reviews."""
HALVINGS, RATIO_HALVINGS = 16, 9


def strata_of(examples: int) -> Ids:
    """Return the first rank of each stratum, and the number of examples at the end, [H + 1].

    Formula: stratum h of 20 ends at rank N (h / 20)^1.75, rounded: strata are narrow where labels
    are likely to be wrong. Strata without an example are left out.
    """
    ends = np.rint(examples * (np.arange(STRATA + 1) / STRATA) ** NARROWING).astype(np.int64)
    bounds: Ids = np.unique(ends)
    return bounds


def likeliest(wrong: Floats, reviewed: Floats, tilt: Floats) -> Floats:
    r"""Return the decreasing p that maximises l(p) + sum_h t_h p_h.

    Formula: a block of strata from r to s, taken alone, has its maximum where
    K / p - (n - K) / (1 - p) + T = 0, with sums K, n and T of its wrong labels, reviews and tilts;
    then p_h = min over r <= h of the max over s >= h of these.

    Args:
        wrong: k [H].
        reviewed: n [H].
        tilt: t [..., H].

    Returns:
        p [..., H]; 1/2, as far as the other strata allow it, where nothing was reviewed.
    """
    k, n, t = (_block_sums(values) for values in (wrong, reviewed, tilt))
    slope = n - t
    root = np.sqrt(np.maximum(slope**2 + 4 * t * k, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(slope > 0, 2 * k / (slope + root), (root - slope) / (2 * t))
    p = np.clip(np.nan_to_num(p, nan=0.5), 0, 1)
    first, last = np.ogrid[: len(wrong), : len(wrong)]
    # Blocks that end before they begin count neither for the maximum nor for the minimum.
    ends_later = np.flip(np.maximum.accumulate(np.flip(np.where(last >= first, p, -1), -1), -1), -1)
    found: Floats = np.where(last >= first, ends_later, 2).min(-2)
    return found


def _block_sums(values: Floats) -> Floats:
    """Return the sums [..., H, H] of values [..., H] from stratum r to stratum s."""
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, -1)], -1)
    sums: Floats = total[..., None, 1:] - total[..., :-1, None]
    return sums


@dataclass(frozen=True, eq=False)
class Reviewed:
    """Reviews by stratum.

    Attributes:
        wrong: k [H] wrong labels among the reviewed ones.
        reviewed: n [H] reviewed labels.
    """

    wrong: Floats
    reviewed: Floats

    @property
    def chance(self) -> Floats:
        """The likeliest p, [H]."""
        return likeliest(self.wrong, self.reviewed, np.zeros(len(self.wrong)))

    def extremes(self, weights: Floats, sign: int, drop: float = DROP) -> tuple[Floats, Floats]:
        r"""Return the largest sum_h w_h p_h (``sign`` 1), or the smallest (-1), in the interval.

        Formula: the sum at the p that maximises l(p) + g sum_h w_h p_h, for the g at which
        2 (max l - l(p)) = c, found by halving an interval of log g.

        Args:
            weights: w [L, H].
            sign: which end.
            drop: c.

        Returns:
            [L] and, at the same p, sum_h w_h p_h (1 - p_h) [L]: the variance of the number of wrong
            labels among w_h labels of each stratum.
        """
        size = np.maximum(np.abs(weights).sum(-1, keepdims=True), 1e-12)
        unit, best = sign * weights / size * self.reviewed.sum(), self._likelihood(self.chance)
        low, high = (np.full(len(weights), np.log(end)) for end in (FLATTEST, STEEPEST))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            p = likeliest(self.wrong, self.reviewed, np.exp(middle)[:, None] * unit)
            inside = 2 * (best - self._likelihood(p)) <= drop
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        p = likeliest(self.wrong, self.reviewed, np.exp(low)[:, None] * unit)
        sums: Floats = (weights * p).sum(-1)
        variances: Floats = (weights * p * (1 - p)).sum(-1)
        return sums, variances

    def ratios(self, part: Floats, known: Floats, rest: Floats, all_known: float) -> list[Floats]:
        r"""Return both ends [2][L] of (a + sum_h w_h p_h) / (b + sum_h v_h p_h), by halving.

        Args:
            part: w [L, H], at most v.
            known: a [L].
            rest: v [H].
            all_known: b.
        """
        ends = []
        for sign in (-1, 1):
            low, high = np.zeros(len(part)), np.ones(len(part))
            for _ in range(RATIO_HALVINGS):
                middle = (low + high) / 2
                weights = part - middle[:, None] * rest
                excess = self.extremes(weights, sign)[0] + known - middle * all_known
                up = excess >= 0 if sign > 0 else excess > 0
                low, high = np.where(up, middle, low), np.where(up, high, middle)
            ends.append((low + high) / 2)
        return ends

    def _likelihood(self, p: Floats) -> Floats:
        right = self.reviewed - self.wrong
        total: Floats = (xlogy(self.wrong, p) + xlog1py(right, -p)).sum(-1)
        return total

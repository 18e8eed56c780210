"""What share of labels is wrong: a mixture of what is like planted flips and what is not.

The scores of planted flips are a sample from the wrong labels, and those of the user's examples one
from a mixture of wrong and right ones. What is missing is a sample of right labels: hard examples
have high scores too, and nobody has listed them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

Floats = NDArray[np.float64]

BINS = 128
"""Scores are put into so many bins of equal mass before a model is fitted, many times over."""
BOUNDS = ((-14.0, 14.0), (-40.0, 40.0), (-3.0, 4.0))
"""Of the logit of the share, the tilt's constant, and the logarithm of its slope."""
STARTS = ((-3.0, -2.0, 0.5), (-1.0, -3.0, 1.0))


@dataclass(frozen=True)
class Tilt:
    r"""The fitted mixture: f_user(s) / f_planted(s) = pi + (1 - pi) exp(a - b s).

    Attributes:
        share: pi, the share of the user's labels that are wrong.
        constant: a.
        slope: b, above 0: the higher a score, the less it looks like that of a right label.
        centre: the mean of planted scores, which a and b count from.
        scale: their standard deviation, the unit of s.
    """

    share: float
    constant: float
    slope: float
    centre: float
    scale: float

    def log_odds(self, scores: Floats) -> Floats:
        r"""Return the logarithm of the odds that a label is wrong: logit(pi) - a + b s."""
        s = (scores - self.centre) / self.scale
        return self._offset + self.slope * s

    def scores(self, log_odds: Floats) -> Floats:
        """Return the scores that have some log-odds: the inverse of :meth:`log_odds`."""
        return self.centre + self.scale * (log_odds - self._offset) / self.slope

    def wrong(self, scores: Floats) -> Floats:
        r"""Return the probability that a label is wrong: pi / (pi + (1 - pi) exp(a - b s))."""
        found: Floats = expit(self.log_odds(scores))
        return found

    @property
    def _offset(self) -> float:
        return float(logit(np.clip(self.share, 1e-9, 1 - 1e-9))) - self.constant


@dataclass(frozen=True, eq=False)
class Binned:
    """Scores in bins.

    Attributes:
        middle: [BINS] mean score of a bin, in standard deviations of planted scores.
        user: int64 bin of each of the user's scores.
        planted: int64 bin of each planted score.
        centre: mean of planted scores.
        scale: their standard deviation.
    """

    middle: Floats
    user: NDArray[np.int64]
    planted: NDArray[np.int64]
    centre: float
    scale: float


def binned(user: Floats, planted: Floats) -> Binned:
    """Put scores into bins that hold equal parts of both kinds together, each kind counting half.

    Args:
        user: [n] finite scores.
        planted: [m] finite scores, not all the same.
    """
    pooled = np.concatenate([user, planted])
    weights = np.concatenate(
        [np.full(len(user), 1 / len(user)), np.full(len(planted), 1 / len(planted))]
    )
    order = np.argsort(pooled)
    mass = np.cumsum(weights[order]) / 2
    bins = np.empty(len(pooled), np.int64)
    bins[order] = np.minimum((mass * BINS).astype(np.int64), BINS - 1)
    total = np.bincount(bins, weights * pooled, BINS)
    count = np.bincount(bins, weights, BINS)
    middle = np.divide(total, count, out=np.zeros(BINS), where=count > 0)
    centre, scale = float(planted.mean()), float(planted.std())
    return Binned((middle - centre) / scale, bins[: len(user)], bins[len(user) :], centre, scale)


def fit_tilt(
    data: Binned, user_weights: Floats | None = None, planted_weights: Floats | None = None
) -> Tilt:
    r"""Return the mixture that fits best: a logistic regression with a floor.

    Formula: of an example drawn from both samples together, the odds that it is one of the user's
    are lambda r(s), with r(s) = pi + (1 - pi) exp(a - b s) and lambda the ratio of sample sizes;
    pi, a and b maximise the likelihood of which examples are whose.

    Args:
        data: scores in bins.
        user_weights: [n] how often each of the user's scores counts; once if not given.
        planted_weights: [m] the same for planted scores.

    Source: the semiparametric likelihood of exponential tilt models, Qin (1998), "Inferences for
    case-control and semiparametric two-sample density ratio models"; mixture proportion estimation
    from a sample of one component, Elkan & Noto (2008).
    """
    user = np.bincount(data.user, user_weights, BINS)
    planted = np.bincount(data.planted, planted_weights, BINS)
    balance = np.log(user.sum() / planted.sum())

    def loss(theta: Floats) -> float:
        odds_of_share, constant, log_slope = theta
        rest = log_expit(-odds_of_share) + constant - np.exp(log_slope) * data.middle
        odds = balance + np.logaddexp(log_expit(odds_of_share), rest)
        return float(-(user @ log_expit(odds) + planted @ log_expit(-odds)))

    fits = [minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS) for start in STARTS]
    odds_of_share, constant, log_slope = min(fits, key=lambda one: float(one.fun)).x
    share, slope = float(expit(odds_of_share)), float(np.exp(log_slope))
    return Tilt(share, float(constant), slope, data.centre, data.scale)

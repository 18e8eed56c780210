"""Estimate the fraction of wrong labels by fitting a two-component mixture to the scores.

The scores of planted flips are a sample from the wrong labels. The scores of the user's examples
are a sample from a mixture of wrong and right labels. There is no sample of right labels, since
hard examples score high too. But where wrong labels score, right labels are in the upper tail of
their scores, which is modelled as exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import logit

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

TAIL = 2.5
"""Percentile of planted scores above which right labels are modelled as an exponential tail."""
CROWDED, FEW = 0.4, 80
"""See :func:`in_bins`: a share of right labels, and a percentile of the user's scores."""
LEAST_AUROC = 0.65
"""Below this AUROC of planted against user scores, no mixture is fitted."""
DECAY, DECAY_SPREAD = 0.55, 0.2
"""Prior of the tail's mean excess theta: median, in standard deviations of planted scores, and the
standard deviation of log theta. Both come from data with known labels (docs/decisions/tails.md)."""
BELOW, ABOVE = 32, 64
"""Numbers of bins of equal mass below and above the threshold of the tail."""
STEPS = 1000
TOLERANCE = 1e-6
"""The fit stops when alpha changes by less than this in a step."""
SURE = 1e-6
"""Probabilities are clipped to [SURE, 1 - SURE]."""
RISE = 1e-6
"""Slope of the log-odds per standard deviation: of equal probabilities, the higher score wins."""


@dataclass(frozen=True, eq=False)
class Binned:
    """Scores in bins, those from ``BELOW`` on above the threshold of the tail.

    Attributes:
        middle: [BELOW + ABOVE] mean score per bin; user and planted scores weigh the same in total.
        edges: [BELOW + ABOVE - 1] edges between bins.
        user: bin of each of the user's scores.
        planted: planted scores, standardized.
        centre: mean of planted scores.
        scale: their standard deviation, the unit of ``middle``, ``edges`` and ``planted``.
    """

    middle: Floats
    edges: Floats
    user: Bins
    planted: Floats
    centre: float
    scale: float

    @property
    def excess(self) -> Floats:
        """Edges of the upper bins [ABOVE + 1], counted from the threshold; the last is infinite."""
        upper = self.edges[BELOW - 1 :]
        return np.append(upper - upper[0], np.inf)

    def user_counts(self, times: Bins | None = None) -> Floats:
        """Return the user's scores per bin; a bootstrap sample counts each ``times`` times."""
        return np.bincount(self.user, times, BELOW + ABOVE).astype(np.float64)

    def planted_counts(self, drawn: Bins | slice = slice(None), shift: float = 0.0) -> Floats:
        """Return the planted scores per bin, for the indices ``drawn``, with ``shift`` added."""
        bins = np.searchsorted(self.edges, self.planted[drawn] + shift, "right")
        return np.bincount(bins, None, BELOW + ABOVE).astype(np.float64)


def are_told_apart(user: Floats, planted: Floats) -> bool:
    """Return whether planted scores rank above the user's often enough to learn from them."""
    if not (len(user) and len(planted)):
        return False
    order = np.sort(user)
    ranks = np.searchsorted(order, planted, "left") + np.searchsorted(order, planted, "right")
    return float(ranks.mean()) / (2 * len(user)) >= LEAST_AUROC


def in_bins(user: Floats, planted: Floats) -> Binned:
    """Put finite scores [n] and [m] into bins on both sides of the threshold of the tail.

    The threshold is the TAIL-th percentile of planted scores. If a fit finds more than CROWDED of
    all right labels above it, it is the FEW-th percentile of the user's scores, if that is higher.
    """
    threshold = float(np.percentile(planted, TAIL))
    found = binned(user, planted, threshold)
    share = min(fit_mixture(found).share, 1 - SURE)
    above = float((user >= threshold).mean()) - share * float((planted >= threshold).mean())
    if above <= CROWDED * (1 - share):
        return found
    return binned(user, planted, max(threshold, float(np.percentile(user, FEW))))


def binned(user: Floats, planted: Floats, threshold: float) -> Binned:
    """Put scores into bins of equal mass; user and planted scores have equal total weight."""
    centre, scale = float(planted.mean()), float(planted.std()) or 1.0
    scores = (np.concatenate([user, planted]) - centre) / scale
    weights = np.repeat([1 / len(user), 1 / len(planted)], [len(user), len(planted)])
    threshold = (threshold - centre) / scale
    tail = scores >= threshold
    lower = _quantiles(scores[~tail], weights[~tail], BELOW)
    upper = _quantiles(scores[tail], weights[tail], ABOVE)
    edges = np.concatenate([lower, [threshold], upper])
    bins = np.searchsorted(edges, scores, "right")
    mass = np.bincount(bins, weights, BELOW + ABOVE)
    total = np.bincount(bins, weights * scores, BELOW + ABOVE)
    # An empty bin lies between the edges of its neighbours.
    between = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    middle = np.where(mass > 0, total / np.where(mass > 0, mass, 1), between)
    return Binned(middle, edges, bins[: len(user)], scores[len(user) :], centre, scale)


def _quantiles(scores: Floats, weights: Floats, parts: int) -> Floats:
    """Return the [parts - 1] edges between parts of equal weight; any, if there are no scores."""
    if not len(scores):
        return np.full(parts - 1, -np.inf)
    order = np.argsort(scores)
    mass = np.cumsum(weights[order])
    at = np.searchsorted(mass, mass[-1] * np.arange(1, parts) / parts)
    edges: Floats = scores[order][at]
    return edges


@dataclass(frozen=True, eq=False)
class Mixture:
    """A fitted mixture of wrong and right labels.

    Attributes:
        share: pi, the fraction of the user's labels that is wrong.
        decay: theta, the mean excess of right labels over the threshold of the tail.
        middle: [BELOW + ABOVE] mean scores of the bins.
        odds: [BELOW + ABOVE] log-odds there that a label is wrong, ascending.
        centre: the score that counts as 0.
        scale: the unit of ``decay`` and ``middle``.
    """

    share: float
    decay: float
    middle: Floats
    odds: Floats
    centre: float
    scale: float

    def log_odds(self, scores: Floats) -> Floats:
        """Return the log-odds that a label is wrong, which rise with the score."""
        s = (scores - self.centre) / self.scale
        found: Floats = np.interp(s, self.middle, self.odds) + RISE * s
        return found


def fit_mixture(data: Binned) -> Mixture:
    """Return the mixture that fits all scores best; see :func:`fit_mixtures`."""
    user, planted = data.user_counts(), data.planted_counts()
    return fit_mixtures(data, user[None], planted[None], np.zeros(1))[0]


def fit_mixtures(data: Binned, user: Floats, planted: Floats, surprise: Floats) -> list[Mixture]:
    r"""Return the mixture that fits best, for each of several samples.

    Formula: above a threshold t (see :func:`in_bins`), the user's scores have the density
    alpha f(s) + (1 - alpha) exp(-(s - t) / theta) / theta, with f that of planted scores, whose
    form is left open (a share for each bin). A right label's excess is taken to be exponential, as
    over a high threshold it is in the limit for all distributions with tails like the normal or the
    exponential. alpha, theta and f maximise the likelihood of both samples times the prior
    log theta ~ N(log DECAY, DECAY_SPREAD^2), by expectation maximisation. The share of wrong labels
    is pi = alpha P(user > t) / P(planted > t). Each bin's share of wrong labels, alpha f / (...)
    above t and pi f_planted / f_user below it, is made to rise with the score by isotonic
    regression.

    Args:
        data: scores in bins.
        user: [D, BELOW + ABOVE] the user's scores per bin, in each sample.
        planted: [D, BELOW + ABOVE] planted scores per bin, in each sample.
        surprise: [D] shift of the prior mean of log theta, in standard deviations of the prior.

    Source: exceedances over a threshold, Pickands (1975), "Statistical inference using extreme
    order statistics"; two samples, one of them a mixture, Elkan & Noto (2008), "Learning
    classifiers from only positive and unlabeled data".
    """
    high, flips = user[:, BELOW:], planted[:, BELOW:]
    wrong, decay = _separate(data, high, flips, np.log(DECAY) + DECAY_SPREAD * surprise)
    n, m = user.sum(1), np.maximum(planted.sum(1), 1)
    above = np.maximum(flips.sum(1) / m, 1 / m)
    share = np.clip((wrong * high).sum(1) / (n * above), 0, 1)
    expected = (share * n / m)[:, None] * planted[:, :BELOW]
    below = np.clip(expected / np.maximum(user[:, :BELOW], 1e-9), 0, 1)
    rates = np.concatenate([below, wrong], 1)
    weights = np.maximum(user, 1e-9)
    return [
        Mixture(
            share=float(share[k]),
            decay=float(decay[k]),
            middle=data.middle,
            odds=logit(
                np.clip(isotonic_regression(rates[k], weights=weights[k]).x, SURE, 1 - SURE)
            ),
            centre=data.centre,
            scale=data.scale,
        )
        for k in range(len(user))
    ]


def _separate(
    data: Binned, user: Floats, planted: Floats, expected: Floats
) -> tuple[Floats, Floats]:
    """Fit by EM; return the fraction of wrong labels per bin of the tail [D, ABOVE], and theta [D].

    Counts are [D, ABOVE]; ``expected`` [D] is the mean of the prior of log theta.
    """
    f = _shares(planted + 0.5)
    # Start from the bins with the highest scores, where few labels are right.
    top = slice(ABOVE * 3 // 4, None)
    alpha = np.clip(_shares(user)[:, top].sum(1) / f[:, top].sum(1), 0.01, 0.99)
    log_decay = expected.copy()
    for _ in range(STEPS):
        wrong = alpha[:, None] * f
        right = (1 - alpha)[:, None] * _exponential(data.excess, np.exp(log_decay))
        rates = wrong / np.maximum(wrong + right, 1e-300)
        found = user * rates
        before, alpha = alpha, found.sum(1) / np.maximum(user.sum(1), 1e-9)
        f = _shares(planted + found)
        log_decay = _decayed(data.excess, user - found, log_decay, expected)
        if np.abs(alpha - before).max() < TOLERANCE:
            break
    return rates, np.exp(log_decay)


def _shares(counts: Floats) -> Floats:
    found: Floats = counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
    return found


def _exponential(edges: Floats, mean: Floats) -> Floats:
    """Return the mass [D, B] of exponential distributions with means [D] between edges [B + 1]."""
    return -np.diff(np.exp(-edges / mean[:, None]), axis=1)


def _decayed(edges: Floats, right: Floats, log_decay: Floats, expected: Floats) -> Floats:
    """Return log theta after one scoring step, given the number of right labels per bin."""
    mean = np.exp(log_decay)[:, None]
    low, width = edges[:-1], np.diff(edges)
    # Mean excess within a bin of a truncated exponential, in units of theta; the last bin is open.
    within = 1 - np.divide(width / mean, np.expm1(np.clip(width / mean, 1e-9, 500)))
    within[:, -1] = 1
    count, excess = right.sum(1), (right * (low + mean * within)).sum(1)
    slope = excess / mean[:, 0] - count - (log_decay - expected) / DECAY_SPREAD**2
    step: Floats = slope / (excess / mean[:, 0] + 1 / DECAY_SPREAD**2)
    return log_decay + step

"""How many of all wrong labels a list holds: by planted flips, and by those that none is like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from byheart.auditing.kinds import Fitted, Kind
from byheart.auditing.mixture import Mixture
from byheart.seeds import generator

Floats = NDArray[np.float64]


def recall(
    fitted: Fitted,
    suspicion: Floats,
    log_odds: Floats,
    *,
    wrong: Floats,
    hidden: Floats,
    seed: int,
) -> tuple[Floats, Floats]:
    r"""Return the recall [L] of lists down to some log-odds, and draws of it [B, L].

    Formula: sum_k v_k ((1 - h_k) r_k + h_k q_k), over the kinds of doubt k, with v_k the share of
    wrong labels that is of a kind, h_k the share of those that no flip is like, r_k the share of
    planted flips that are on the list, and q_k that of the hidden ones. In each draw flips rank
    higher or lower by as much as wrong labels may, and the share is drawn from Jeffreys' posterior
    of their share, Beta(hits + 1/2, misses + 1/2); each draw adds the chance by which as many wrong
    labels turn out to be on the list.

    Args:
        fitted: to flips and examples.
        suspicion: [N].
        log_odds: [L] of the last example of each list, descending.
        wrong: [B] draws of the number of wrong labels like the flips.
        hidden: [B, K] draws of h.
        seed: of the draws.
    """
    rng, total = generator("recall", seed), np.maximum(wrong, 1)[:, None]
    mean, drawn = np.zeros(len(log_odds)), np.zeros((len(wrong), len(log_odds)))
    lost = fitted.hidden(suspicion)
    weights = fitted.masses(suspicion) / (1 - lost)
    weights /= weights.sum()
    right = 1 - np.nan_to_num(expit(fitted.log_odds(suspicion)))
    for k, (kind, mixture) in enumerate(zip(fitted.kinds, fitted.mixtures, strict=True)):
        weight, flips = weights[k], len(kind.planted)
        hit = flips - np.searchsorted(mixture.log_odds(kind.planted), log_odds)
        moved = _hits(kind, mixture, log_odds, kind.unlike * rng.standard_normal(len(drawn)))
        reached = _reached(kind, mixture, suspicion, right, log_odds)
        # One quantile per draw, so that a longer list never recalls less.
        found = stats.beta.ppf(rng.random((len(drawn), 1)), moved + 0.5, flips - moved + 0.5)
        share = found + hidden[:, k, None] * (reached - found)
        spread = np.sqrt(share * (1 - share) / np.maximum(weight * total, 1))
        mean += weight * ((1 - lost[k]) * hit / flips + lost[k] * reached)
        drawn += weight * np.clip(share + spread * rng.standard_normal((len(drawn), 1)), 0, 1)
    return mean, drawn


def _hits(kind: Kind, mixture: Mixture, log_odds: Floats, shifts: Floats) -> Floats:
    """Return how many flips would be on each list [B, L], did they rank higher by some shift."""
    odds = mixture.log_odds(kind.planted + mixture.scale * shifts[:, None])
    below = np.stack([np.searchsorted(one, log_odds) for one in odds])
    return (len(kind.planted) - below).astype(np.float64)


def _reached(
    kind: Kind, mixture: Mixture, suspicion: Floats, right: Floats, log_odds: Floats
) -> Floats:
    """Return how many of the hidden wrong labels a list would hold, as a share of them.

    An example that looks as if it deserved another label has minus its suspicion, once it has that.
    """
    odds = np.nan_to_num(mixture.log_odds(-suspicion), nan=-np.inf)
    order = np.argsort(odds)
    mass = np.concatenate([[0.0], np.cumsum((kind.mirrored * right)[order])])
    if not mass[-1] > 0:
        return np.ones(len(log_odds))
    below = np.searchsorted(odds[order], log_odds)
    shares: Floats = 1 - mass[below] / mass[-1]
    return shares

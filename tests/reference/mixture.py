"""The slow twin of the fitted mixture: the likelihood as it is written, searched by its slope."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from byheart.auditing.mixture import BELOW, DECAY, DECAY_SPREAD, Binned


def separated(data: Binned, user: np.ndarray, planted: np.ndarray) -> tuple[float, float]:
    """Return the share of wrong labels above the threshold, and theta.

    Args:
        data: for the edges of its bins.
        user: how many of the user's scores are in each bin.
        planted: the same of planted scores.
    """
    user, planted = user[BELOW:], planted[BELOW:]
    edges = np.append(data.edges[BELOW - 1 :] - data.edges[BELOW - 1], np.inf)

    def loss(x: np.ndarray) -> float:
        alpha, theta, f = expit(x[0]), np.exp(x[1]), log_softmax(x[2:])
        mass = np.exp(-edges[:-1] / theta) - np.exp(-edges[1:] / theta)
        both = np.logaddexp(np.log(alpha) + f, np.log1p(-alpha) + np.log(mass + 1e-300))
        likelihood = user @ both + planted @ f
        return float(-likelihood) + (x[1] - np.log(DECAY)) ** 2 / (2 * DECAY_SPREAD**2)

    start = np.concatenate([[-1.0, np.log(DECAY)], np.log(planted + 1)])
    found = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 500, "maxfun": 200_000})
    return float(expit(found.x[0])), float(np.exp(found.x[1]))

"""Slow twin of the estimates from reviewed labels: one general optimiser, and nothing clever."""

from __future__ import annotations

import numpy as np
from scipy import optimize

TINY = 1e-9


def likelihood(p: np.ndarray, wrong: np.ndarray, reviewed: np.ndarray) -> float:
    """Return sum_h k_h log p_h + (n_h - k_h) log(1 - p_h)."""
    p = np.clip(p, TINY, 1 - TINY)
    return float((wrong * np.log(p) + (reviewed - wrong) * np.log1p(-p)).sum())


def likeliest(wrong: np.ndarray, reviewed: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Return the decreasing p [H] that maximises the likelihood plus sum_h t_h p_h."""
    strata = len(wrong)
    falls = {"type": "ineq", "fun": lambda p: p[:-1] - p[1:]}
    found = optimize.minimize(
        lambda p: -likelihood(p, wrong, reviewed) - tilt @ p,
        np.linspace(0.7, 0.3, strata),
        method="SLSQP",
        bounds=[(TINY, 1 - TINY)] * strata,
        constraints=[falls],
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    return found.x


def extreme(
    wrong: np.ndarray, reviewed: np.ndarray, weights: np.ndarray, sign: int, drop: float
) -> float:
    """Return the largest (1) or smallest (-1) sum_h w_h p_h, with twice the likelihood ratio."""
    strata = len(wrong)
    best = likelihood(likeliest(wrong, reviewed, np.zeros(strata)), wrong, reviewed)
    constraints = [
        {"type": "ineq", "fun": lambda p: p[:-1] - p[1:]},
        {"type": "ineq", "fun": lambda p: drop - 2 * (best - likelihood(p, wrong, reviewed))},
    ]
    sums = []
    for margin in (0.02, 0.05, 0.1, 0.2):
        found = optimize.minimize(
            lambda p: -sign * weights @ p,
            np.clip(likeliest(wrong, reviewed, np.zeros(strata)), margin, 1 - margin),
            method="SLSQP",
            bounds=[(TINY, 1 - TINY)] * strata,
            constraints=constraints,
            options={"maxiter": 1000, "ftol": 1e-12},
        )
        if all(np.min(part["fun"](found.x)) > -1e-6 for part in constraints):
            sums.append(float(weights @ found.x))
    return sign * max(sign * value for value in sums)

"""The slow twin of the fitted mixture: every score by itself, and a search over a grid."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from byheart.auditing.tilt import Binned


def likelihood(theta: tuple[float, float, float], user: np.ndarray, planted: np.ndarray) -> float:
    share, constant, slope = theta
    s = [(one - planted.mean()) / planted.std() for one in (user, planted)]
    balance = len(user) / len(planted)
    ratios = [share + (1 - share) * np.exp(constant - slope * one) for one in s]
    odds = [balance * ratio for ratio in ratios]
    return float(np.log(odds[0] / (1 + odds[0])).sum() - np.log1p(odds[1]).sum())


def fit(user: np.ndarray, planted: np.ndarray) -> tuple[float, float, float]:
    """Return share, constant and slope on a grid that is refined four times."""
    best, steps = (0.15, -3.0, 3.0), (0.05, 1.0, 1.0)
    for _ in range(6):
        for _ in range(12):
            moves = itertools.product((-1, 0, 1), repeat=3)
            near = [
                tuple(b + m * s for b, m, s in zip(best, move, steps, strict=True))
                for move in moves
            ]
            allowed = [one for one in near if 1e-4 < one[0] < 1 and one[2] > 0.05]
            found = max(allowed, key=lambda one: likelihood(one, user, planted))
            if found == best:
                break
            best = found
        steps = tuple(step / 2.5 for step in steps)
    return best


def wrong(
    theta: tuple[float, float, float], user: np.ndarray, planted: np.ndarray, scores: np.ndarray
) -> list[float]:
    share, constant, slope = theta
    found = []
    for score in scores:
        s = (score - planted.mean()) / planted.std()
        found.append(share / (share + (1 - share) * math.exp(constant - slope * s)))
    return found


def repeated(data: Binned, times: np.ndarray, flips: np.ndarray) -> Binned:
    return dataclasses.replace(
        data, user=np.repeat(data.user, times), planted=np.repeat(data.planted, flips)
    )

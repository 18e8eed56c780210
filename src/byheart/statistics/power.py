"""How many seeds would decide an inconclusive claim, if effects and spreads are as observed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from byheart.statistics.verdict import Criterion

POWER = 0.8
MOST_SEEDS = 1000
"""Numbers of seeds above this one are not tried."""

Values = NDArray[np.float64]


def power(
    criterion: Criterion, values: Values, *, claimed: bool, level: float, seeds: NDArray[np.int64]
) -> Values:
    r"""Return the probability that a criterion is decided, by number of seeds.

    Formula: the mean of n seeds is taken as normal around the observed mean, with standard error
    \(s / \sqrt{n}\). Decisive means are those whose interval of half width
    \(t_{n-1} s / \sqrt{n}\) lies on the right side of the limit.

    Args:
        criterion: the criterion.
        values: [k] one per seed, observed.
        claimed: True for the probability that the criterion is supported, False for contradicted.
        level: confidence level of the verdict.
        seeds: [N] numbers of seeds.

    Returns:
        [N] probabilities; 0 where the sign-flip test cannot reach the level at all.
    """
    effect = float(values.mean()) - criterion.null
    if criterion.kind == "below" or (criterion.kind in ("within", "differs") and effect < 0):
        effect = -effect
    error = np.maximum(float(values.std(ddof=1)), 1e-12) / np.sqrt(seeds)
    margin = stats.t.ppf((1 + level) / 2, seeds - 1) * error
    lowest, highest = np.full_like(error, -np.inf), np.full_like(error, np.inf)
    match criterion.kind, claimed:
        case (("above" | "below" | "differs"), True):
            lowest = np.maximum(criterion.smallest, margin)
        case (("above" | "below"), False):
            highest = criterion.smallest - margin
        case "within", False:
            lowest = criterion.smallest + margin
        case _:
            lowest, highest = margin - criterion.smallest, criterion.smallest - margin
    decided = stats.norm.cdf((highest - effect) / error) - stats.norm.cdf((lowest - effect) / error)
    possible = seeds >= fewest_seeds(1.0 - level)
    return np.where(possible, np.maximum(decided, 0.0), 0.0)


def fewest_seeds(alpha: float) -> int:
    """Return the fewest seeds with which the sign-flip test can reach a p value of ``alpha``.

    Formula: the smallest n with 2^(1-n) <= alpha, the two-sided p of n values on one side.
    """
    return 1 + math.ceil(math.log2(1.0 / alpha) - 1e-9)

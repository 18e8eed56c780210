"""Time to convergence as survival data: a run that never reaches 100% is censored, not missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of the fraction of runs not yet at 100% training accuracy.

    Attributes:
        time: [T] ascending distinct epochs at which a run converged.
        surviving: [T] estimated fraction not converged after each of them.
    """

    time: NDArray[np.float64]
    surviving: NDArray[np.float64]

    @property
    def median(self) -> float:
        """First epoch by which half of the runs have converged; infinite if half never do."""
        half = np.flatnonzero(self.surviving <= 0.5)
        return float(self.time[half[0]]) if len(half) else float("inf")


def kaplan_meier(epochs: ArrayLike, converged: ArrayLike) -> Survival:
    r"""Estimate the survival function of time to convergence.

    Formula: S(t) = prod over t_i <= t of (1 - d_i / n_i), with d_i runs converging at t_i and n_i
    runs still training just before.

    Args:
        epochs: [K] times, in the unit of epochs.
        converged: [K] bool: ended at 100% training accuracy; False: censored there.

    Returns:
        The step function at its steps.

    Raises:
        ValueError: shapes that do not fit, or no run.

    Source: A17 section 3 (time to convergence); Kaplan & Meier (1958).
    """
    times, events = np.asarray(epochs, dtype=float), np.asarray(converged, dtype=bool)
    if times.shape != events.shape or times.ndim != 1 or not len(times):
        raise ValueError(f"needs epochs [K] and converged [K], got {times.shape}, {events.shape}")
    steps = np.unique(times[events])
    at_risk = np.array([(times >= step).sum() for step in steps])
    ended = np.array([(times[events] == step).sum() for step in steps])
    return Survival(steps, np.cumprod(1.0 - ended / np.maximum(at_risk, 1)))


def restricted(epochs: ArrayLike, budget: ArrayLike) -> NDArray[np.float64]:
    """Return the time to convergence restricted to the budget.

    Formula: T_B = min(T, B), for a time T and a budget B.

    Its mean is the area under the survival curve up to the budget (restricted mean survival time),
    which needs no model of what censored runs would have done. Censored runs enter at the budget,
    so a contrast in which the slower side is censored is understated, never overstated.

    Args:
        epochs: [K] times, in the unit of epochs.
        budget: [K] or one for all, in the same unit.

    Returns:
        [K] in the same unit.

    Raises:
        ValueError: shapes that do not fit.

    Source: Royston & Parmar (2013).
    """
    return np.asarray(np.minimum(epochs, budget), dtype=float)

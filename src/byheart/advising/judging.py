"""What an arm's effect is, with intervals, and whether it costs more than the user's margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from byheart.advising.arms import Arm
from byheart.advising.outcomes import Effect
from byheart.statistics.estimate import Estimate, student_estimate

Assessment = Literal["helps", "no effect", "costs", "unclear", "diverged", "not applicable"]


def effect_of(effect: Effect) -> tuple[Estimate, Estimate]:
    """Return the gain and the drop of an arm."""
    return (
        student_estimate(effect.gain, smallest_step=effect.held_out),
        student_estimate(effect.drop, smallest_step=effect.trained),
    )


def assess(effect: Effect, margin: float) -> Assessment:
    """Return what a regularizer does at a strength, by non-inferiority.

    It costs nothing if the one-sided 95% interval of its gain lies above minus the margin, and it
    takes from memorization if that of its drop lies above 0.

    Args:
        effect: seed by seed.
        margin: accuracy on held-out examples that may be lost.
    """
    gain, drop = effect_of(effect)
    if not (math.isfinite(gain.value) and math.isfinite(drop.value)):
        return "diverged"
    if gain.low > -margin:
        return "helps" if drop.low > 0 else "no effect"
    return "costs" if gain.high < -margin else "unclear"


def choose(candidates: Sequence[Effect], margin: float, error: float) -> list[Arm]:
    r"""Return arms from the most promising to the least, by few seeds.

    Formula: drop Phi((gain - floor) / error), the drop to be expected if one that costs too much
    counts for nothing, with floor = max(0, best gain - error) - margin and Phi the normal
    distribution function. The best gain looks good by luck as well, hence less one error. Arms
    that are worth as much as nothing follow by their gain, and those that diverged come last.

    Args:
        candidates: strengths of one regularizer, or arms of several.
        margin: accuracy that may be lost.
        error: standard error of a mean gain; 0 takes gains at their word.
    """
    usable = [one for one in candidates if np.isfinite(one.gain + one.drop).all()]
    best = max((float(one.gain.mean()) for one in usable), default=0.0)
    floor = max(0.0, best - error) - margin

    def promise(effect: Effect) -> tuple[bool, float, float]:
        if effect not in usable:
            return False, 0.0, 0.0
        gain, drop = float(effect.gain.mean()), float(effect.drop.mean())
        harmless = stats.norm.cdf((gain - floor) / error) if error > 0 else float(gain > floor)
        return True, round(drop * float(harmless), 6), gain

    return [one.arm for one in sorted(candidates, key=promise, reverse=True)]


def standard_error(effects: Sequence[Effect]) -> float:
    """Return the standard error of a mean gain, pooled over arms; 0 if there is none to pool."""
    spreads = [
        float(one.gain.var(ddof=1)) / len(one.gain)
        for one in effects
        if len(one.gain) > 1 and np.isfinite(one.gain).all()
    ]
    return math.sqrt(sum(spreads) / len(spreads)) if spreads else 0.0


def front(effects: Sequence[Effect]) -> tuple[Arm, ...]:
    """Return the undominated arms: none memorizes less and is at least as accurate, on average."""
    points = [
        (one.arm, float(one.memorized.mean()), float(one.accuracy.mean()))
        for one in effects
        if np.isfinite(one.memorized + one.accuracy).all()
    ]
    return tuple(
        arm
        for arm, memorized, accuracy in sorted(points, key=lambda point: point[1])
        if not any(
            m <= memorized and a >= accuracy and (m < memorized or a > accuracy)
            for _, m, a in points
        )
    )

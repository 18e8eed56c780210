"""Accuracies by regularizer, strength and seed; effects against plain training, assessed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from byheart.advising.arms import PLAIN, Arm
from byheart.statistics.estimate import Estimate, student_estimate

Assessment = Literal["helps", "no effect", "costs", "unclear", "diverged", "not applicable"]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """One seed of an arm; NaN from where a training diverged.

    Attributes:
        random: [C] accuracy on the training examples after training on random labels.
        user: [C] the same for the user's labels.
        validation: [C] accuracy on held-out examples after training on the user's labels.
        trusted: [C] the same on those that an audit did not flag; NaN if none was given.
    """

    random: Values
    user: Values
    validation: Values
    trusted: Values

    def stopped(self, at: int) -> Curves:
        """Return what had become of a training that ended at a checkpoint, by index."""
        index = np.minimum(np.arange(len(self.random)), at)
        return Curves(*(curve[index] for curve in self.parts()))

    def parts(self) -> tuple[Values, Values, Values, Values]:
        """Return the four curves."""
        return self.random, self.user, self.validation, self.trusted


@dataclass(frozen=True)
class Effect:
    """An arm compared with the plain network, seed by seed, on the same seeds.

    Attributes:
        arm: a regularizer at a strength.
        memorized: [S] accuracy on random labels at the end.
        area: [S] the same, mean over the checkpoints.
        drop: [S] decrease of ``memorized`` against the plain network.
        accuracy: [S] on held-out examples at the end.
        gain: [S] increase of ``accuracy`` against the plain network.
        trusted: [S] accuracy on held-out examples that an audit did not flag; NaN without one.
        trusted_gain: [S] increase of ``trusted`` against the plain network.
        trained: fraction that one training example is of an accuracy.
        held_out: fraction that one held-out example is of an accuracy.
    """

    arm: Arm
    memorized: Values
    area: Values
    drop: Values
    accuracy: Values
    gain: Values
    trusted: Values
    trusted_gain: Values
    trained: float
    held_out: float


@dataclass
class Outcomes:
    """Learning curves of all networks that were trained so far.

    Attributes:
        checkpoints: the epochs at which accuracy was taken.
        trained: number of training examples.
        held_out: number of held-out examples.
        curves: by arm and seed.
    """

    checkpoints: tuple[int, ...]
    trained: int
    held_out: int
    curves: dict[tuple[Arm, int], Curves] = field(default_factory=dict)

    def of(self, arm: Arm, seed: int) -> Curves:
        """Return the curves of an arm; those of one that only stops early are plain training's."""
        if arm.stops_at is None:
            return self.curves[arm, seed]
        return self.curves[PLAIN, seed].stopped(self.checkpoints.index(arm.stops_at))

    def effect(self, arm: Arm, seeds: Sequence[int]) -> Effect:
        """Return what an arm did, against none, on some seeds."""
        trained = [self.of(arm, seed) for seed in seeds]
        plain = [self.of(PLAIN, seed) for seed in seeds]

        def ends(curves: Iterable[Curves], name: str) -> Values:
            return np.array([getattr(curve, name)[-1] for curve in curves])

        return Effect(
            arm,
            memorized=ends(trained, "random"),
            area=np.array([curve.random.mean() for curve in trained]),
            drop=ends(plain, "random") - ends(trained, "random"),
            accuracy=ends(trained, "validation"),
            gain=ends(trained, "validation") - ends(plain, "validation"),
            trusted=ends(trained, "trusted"),
            trusted_gain=ends(trained, "trusted") - ends(plain, "trusted"),
            trained=1 / self.trained,
            held_out=1 / self.held_out,
        )


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
    usable = [effect for effect in candidates if np.isfinite(effect.gain + effect.drop).all()]
    best = max((float(effect.gain.mean()) for effect in usable), default=0.0)
    floor = max(0.0, best - error) - margin

    def promise(effect: Effect) -> tuple[bool, float, float]:
        if effect not in usable:
            return False, 0.0, 0.0
        gain, drop = float(effect.gain.mean()), float(effect.drop.mean())
        harmless = stats.norm.cdf((gain - floor) / error) if error > 0 else float(gain > floor)
        return True, round(drop * float(harmless), 6), gain

    return [effect.arm for effect in sorted(candidates, key=promise, reverse=True)]


def standard_error(effects: Sequence[Effect]) -> float:
    """Return the standard error of a mean gain, pooled over arms; 0 if there is none to pool."""
    spreads = [
        float(effect.gain.var(ddof=1)) / len(effect.gain)
        for effect in effects
        if len(effect.gain) > 1 and np.isfinite(effect.gain).all()
    ]
    return math.sqrt(sum(spreads) / len(spreads)) if spreads else 0.0


def front(effects: Sequence[Effect]) -> tuple[Arm, ...]:
    """Return the undominated arms: none memorizes less and is at least as accurate, on average."""
    points = [
        (effect.arm, float(effect.memorized.mean()), float(effect.accuracy.mean()))
        for effect in effects
        if np.isfinite(effect.memorized + effect.accuracy).all()
    ]
    return tuple(
        arm
        for arm, memorized, accuracy in sorted(points, key=lambda point: point[1])
        if not any(
            m <= memorized and a >= accuracy and (m < memorized or a > accuracy)
            for _, m, a in points
        )
    )

"""What trainings came to: accuracy at every checkpoint, by regularizer, strength and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from byheart.advising.arms import PLAIN, Arm

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
        return Curves(*(one[index] for one in self.parts()))

    def parts(self) -> tuple[Values, Values, Values, Values]:
        """Return the four curves."""
        return self.random, self.user, self.validation, self.trusted


@dataclass(frozen=True)
class Effect:
    """An arm against none, seed by seed; the same seeds train both.

    Attributes:
        arm: a regularizer at a strength.
        memorized: [S] accuracy on random labels at the end.
        area: [S] the same, mean over the checkpoints.
        drop: [S] by how much it lowers ``memorized``.
        accuracy: [S] on held-out examples at the end.
        gain: [S] by how much it raises that.
        trusted: [S] accuracy on held-out examples that an audit did not flag; NaN without one.
        trusted_gain: [S] by how much it raises that.
        trained: what one training example is of an accuracy.
        held_out: what one held-out example is.
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
    """All that was trained so far.

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
        own, plain = ([self.of(one, seed) for seed in seeds] for one in (arm, PLAIN))

        def ends(curves: Iterable[Curves], name: str) -> Values:
            return np.array([getattr(one, name)[-1] for one in curves])

        return Effect(
            arm,
            memorized=ends(own, "random"),
            area=np.array([one.random.mean() for one in own]),
            drop=ends(plain, "random") - ends(own, "random"),
            accuracy=ends(own, "validation"),
            gain=ends(own, "validation") - ends(plain, "validation"),
            trusted=ends(own, "trusted"),
            trusted_gain=ends(own, "trusted") - ends(plain, "trusted"),
            trained=1 / self.trained,
            held_out=1 / self.held_out,
        )

    def add(self, found: Mapping[tuple[Arm, int], Curves]) -> None:
        """Add the outcomes of further trainings."""
        self.curves.update(found)

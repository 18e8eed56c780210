"""A trainer that draws outcomes from known distributions in place of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from byheart.advising.arms import PLAIN, Arm, Menu
from byheart.advising.effects import Curves
from byheart.advising.trainer import Accuracies, Replica
from byheart.seeds import generator
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.registry import REGULARIZERS

KINDS = [kind for kind in REGULARIZERS if kind.name != "early stopping"]


class Simulated:
    """Draws for every arm and seed: its true effect, noise of the seed, and noise of its own.

    Args:
        truth: (drop, gain) of each arm.
        spread: standard deviation of the noise of an arm's training.
        passes: called with every pack that is trained: lets time go by.
    """

    checkpoints = (1, 2)
    counts = (800, 200)

    def __init__(
        self,
        truth: Mapping[Arm, tuple[float, float]],
        *,
        spread: float,
        passes: Callable[[Sequence[Replica]], None] | None = None,
    ) -> None:
        self.truth = {PLAIN: (0.0, 0.0), **truth}
        self.spread = spread
        self.passes = passes

    def packs(self, arms: Sequence[Arm], seeds: Sequence[int]):
        for arm in dict.fromkeys(arms):
            yield [Replica(arm, seed, random) for seed in seeds for random in (True, False)]

    def accuracies(self) -> Accuracies:
        return Accuracies(None, self.checkpoints)

    def train(self, pack: Sequence[Replica], accuracies=None, resume=None) -> dict[Replica, Curves]:
        if self.passes is not None:
            self.passes(pack)
        return {replica: self._curves(replica) for replica in pack}

    def _curves(self, replica: Replica) -> Curves:
        drop, gain = self.truth[replica.arm]
        common = generator("common", replica.seed, replica.random).normal() * 0.05
        alone = generator("own", replica.arm.name, replica.seed, replica.random).normal()
        value = common + self.spread * alone + (0.8 - drop if replica.random else 0.9 + gain)
        curve = np.array([0.1, value])
        return Curves(curve, curve, curve, np.full(2, np.nan))


def menu_of(arms: Mapping[type[Regularizer], Sequence[float]]) -> Menu:
    return Menu(
        {kind: tuple(Arm(kind, s) for s in strengths) for kind, strengths in arms.items()}, {}
    )

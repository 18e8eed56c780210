"""What each pack costs: which one goes first, and its weight in the time left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from byheart.training.packs import Pack
from byheart.trial import Trial

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset


def costs_of(packs: Sequence[Pack], dataset: Dataset) -> dict[str, float]:
    """Return the cost of each pack by its id: floating-point operations of its whole budget."""
    return {pack.key: cost_of(pack.trials, dataset) for pack in packs}


def cost_of(trials: Sequence[Trial], dataset: Dataset) -> float:
    """Return the floating-point operations of trials that spend their whole budgets."""
    # Loaded late: torch comes with it, and `byheart claims` comes by here too.
    from byheart.training.cost import flops

    shape, classes = tuple(dataset.x.shape[1:]), len(dataset.classes)
    return sum(flops(trial, shape, classes) for trial in trials)

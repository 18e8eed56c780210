"""Peers that follow whole trainings: AUM, cumulative loss, cartography, forgetting, final loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.audit.budget import TRAININGS, recipe
from benchmarks.audit.cases import Case
from benchmarks.audit.scored import Floats, scored
from benchmarks.audit_data import NETWORKS
from byheart.auditing.following import follow
from byheart.auditing.history import History
from byheart.auditing.layout import Layout
from byheart.auditing.scores import (
    area_under_margin,
    confidence,
    cumulative_loss,
    forgetting_events,
    never_learned,
)
from byheart.data.dataset import Dataset
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe


def measure(case: Case) -> dict[str, Any]:
    """Return the metrics of each ranking."""
    data, _ = case.data()
    wrong = (data.y != data.clean_y).numpy()
    found = rankings(NETWORKS[case.source], data, recipe(case), trainings=TRAININGS, seed=case.seed)
    return {"rankings": {name: scored(wrong, one) for name, one in found.items()}}


def rankings(
    source: Source, data: Dataset, recipe: Recipe, *, trainings: int, seed: int
) -> dict[str, Floats]:
    """Return scores [N] of whole trainings on all examples: the higher, the more suspect.

    Initial weights are those of the audit: some are luckier than others, and that is no merit of a
    ranking. An example that was never learned counts as forgotten in every epoch, more than any
    other [Toneva et al. 2019, section 3].
    """
    none = np.zeros((trainings, 0), np.int64)
    seeds = [seed_of("audit", seed, k) for k in range(trainings)]
    histories = follow(source, data, Layout(none, none, none), recipe, seeds).histories
    return {
        "AUM": -area_under_margin(histories),
        "cumulative loss": cumulative_loss(histories),
        "cartography": -confidence(histories),
        "forgetting": forgetting_events(histories) + recipe.epochs * never_learned(histories),
        "final loss": _final_loss(histories),
    }


def _final_loss(histories: list[History]) -> Floats:
    """Return the loss [N] in the last epoch, mean over trainings."""
    found: Floats = np.mean([one.epoch(one.epochs - 1).loss for one in histories], axis=0)
    return found

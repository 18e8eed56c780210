"""Second-split forgetting as a ranking."""

from __future__ import annotations

from typing import Any

from benchmarks.audit.budget import TRAININGS, recipe
from benchmarks.audit.cases import Case
from benchmarks.audit.scored import scored
from benchmarks.audit.second_split import second_split
from benchmarks.audit_data import NETWORKS


def measure(case: Case) -> dict[str, Any]:
    """Return its metrics, and how much of the first halves was fitted."""
    data, _ = case.data()
    scores, fitted = second_split(
        NETWORKS[case.source], data, recipe(case), splits=TRAININGS // 2, seed=case.seed
    )
    wrong = (data.y != data.clean_y).numpy()
    return {"fitted": fitted, "rankings": {"second-split forgetting": scored(wrong, scores)}}

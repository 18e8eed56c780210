"""The charts of an advice, from its table and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.charts.figure import Axis, Figure, Point
from byheart.studies.conditions import mean_points

NONE = "none"
UNDOMINATED = "undominated"
SHOWN = 5
"""Regularizers whose curves are drawn: more cannot be told apart."""


def costs(table: pd.DataFrame, front: pd.DataFrame) -> Figure:
    """Return Figure 10 for these data: memorization and accuracy, with intervals of both."""
    compared = table[table["stage"] == "compared"]
    points = [
        Point(
            "",
            str(row["regularizer"]),
            float(row["memorization"]),
            float(row["accuracy"]),
            max(0.0, row["accuracy_low"]),
            min(1.0, row["accuracy_high"]),
            left=max(0.0, row["memorization_low"]),
            right=min(1.0, row["memorization_high"]),
        )
        for row in compared.dropna(subset=["memorization", "accuracy"]).to_dict(orient="records")
    ]
    undominated = [
        Point("", UNDOMINATED, float(m), float(a))
        for m, a in zip(front["memorization"], front["accuracy"], strict=True)
    ]
    return Figure(
        id="advice-cost",
        title="Memorization and accuracy by regularizer",
        source="as A17 Fig 10",
        reading=(
            "Each dot is a regularizer at its chosen strength, on fresh seeds, with 90% intervals. "
            "Dots further left memorize fewer random labels; dots further up classify held-out "
            "examples better. No dot is better in both than those on the dotted line."
        ),
        x=Axis("training accuracy on random labels", percent=True),
        y=Axis("accuracy on held-out examples", percent=True),
        series=(*dict.fromkeys(point.series for point in points), UNDOMINATED),
        points=(*points, *undominated),
        legend="regularizer",
        dashed=(UNDOMINATED,),
        level=0.9,
    )


def strengths(table: pd.DataFrame) -> Figure:
    """Return all strengths that were tried, on the seeds that chose among them."""
    explored = table[table["stage"] == "explored"]
    explored = explored.dropna(subset=["memorization", "accuracy"])
    points = [
        Point("", str(row["regularizer"]), float(row["memorization"]), float(row["accuracy"]))
        for row in explored.sort_values("memorization").to_dict(orient="records")
    ]
    return Figure(
        id="advice-strengths",
        title="All strengths tried",
        source="as A17 Fig 10",
        reading=(
            "Each dot is a strength, on few seeds. These seeds chose the strengths, so the best "
            "dots look better than they are."
        ),
        x=Axis("training accuracy on random labels", percent=True),
        y=Axis("accuracy on held-out examples", percent=True),
        series=tuple(sorted({point.series for point in points})),
        points=tuple(points),
        legend="regularizer",
    )


def curves(
    front: pd.DataFrame, accuracies: Mapping[str, NDArray[np.float64]], epochs: Sequence[int]
) -> Figure:
    """Return Figure 11 for these data: training curves of the undominated arms and of none.

    Args:
        front: undominated rows of the table.
        accuracies: by name of an arm, [2, S, C] on the user's and on random labels.
        epochs: [C] at which they were taken.
    """
    names = [name for name in front["name"].astype(str) if name in accuracies][:SHOWN]
    shown = [*(name for name in names if name != NONE), NONE]
    points: list[Point] = []
    for name in shown:
        for panel, of_panel in zip(("your labels", "random labels"), accuracies[name], strict=True):
            points += mean_points(panel, name, epochs, of_panel)
    return Figure(
        id="advice-curves",
        title="Training curves of undominated regularizers",
        source="as A17 Fig 11",
        reading=(
            "Training accuracy by epoch, on fresh seeds. A regularizer that stops memorization "
            "lowers the curve on random labels, but not the curve on your labels."
        ),
        x=Axis("epoch", log=True),
        y=Axis("training accuracy", percent=True),
        series=tuple(shown),
        points=tuple(point.clipped() for point in points),
        legend="regularizer",
        dashed=(NONE,),
        marks=False,
    )

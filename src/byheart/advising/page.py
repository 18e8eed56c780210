"""The page of an advice, from what was found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from byheart.charts.drawn import draw
from byheart.charts.figure import Axis, Figure, Point
from byheart.files import write_text
from byheart.report.frame import frame_csv, render_page
from byheart.studies.conditions import mean_points

if TYPE_CHECKING:
    from byheart.advising.result import Advice

UNDOMINATED = "undominated"
SHOWN = 5
"""Regularizers whose curves are drawn: more cannot be told apart."""


def write_page(advice: Advice, path: Path, about: Mapping[str, str]) -> Path:
    """Write the page, and return its path; see :meth:`Advice.to_html`."""
    table = advice.table
    judged = table["stage"].isin(["confirmed", "compared"]) | (table["verdict"] == "not applicable")
    page = render_page(
        "advice.html",
        with_charts=True,
        advice=advice,
        rows=table[judged].to_dict(orient="records"),
        csv=frame_csv(table, index=False),
        figures=[draw(figure) for figure in (costs(advice), strengths(advice), curves(advice))],
        trusted=bool(table["trusted"].notna().any()),
        about=about,
    )
    return write_text(path, page)


def costs(advice: Advice) -> Figure:
    """Return Figure 10 for these data: memorization and accuracy, with intervals of both."""
    compared = advice.table[advice.table["stage"] == "compared"]
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
    front = [
        Point("", UNDOMINATED, float(m), float(a))
        for m, a in zip(advice.front["memorization"], advice.front["accuracy"], strict=True)
    ]
    return Figure(
        id="advice-cost",
        title="What regularizers take from memorization, and what they cost",
        source="as A17 Fig 10",
        reading=(
            "Each dot is a regularizer at its chosen strength, on fresh seeds, with 90% intervals. "
            "Further left, less of the random labels is memorized; further up, held-out examples "
            "are classified better. No dot is better in both than those on the dotted line."
        ),
        x=Axis("training accuracy on random labels", percent=True),
        y=Axis("accuracy on held-out examples", percent=True),
        series=(*dict.fromkeys(point.series for point in points), UNDOMINATED),
        points=(*points, *front),
        legend="regularizer",
        dashed=(UNDOMINATED,),
        level=0.9,
    )


def strengths(advice: Advice) -> Figure:
    """Return all strengths that were tried, on the seeds that chose among them."""
    explored = advice.table[advice.table["stage"] == "explored"]
    explored = explored.dropna(subset=["memorization", "accuracy"])
    points = [
        Point("", str(row["regularizer"]), float(row["memorization"]), float(row["accuracy"]))
        for row in explored.sort_values("memorization").to_dict(orient="records")
    ]
    return Figure(
        id="advice-strengths",
        title="All strengths that were tried",
        source="as A17 Fig 10",
        reading=(
            "Each dot is a strength, on few seeds: these chose, and what looks best here looks "
            "better than it is."
        ),
        x=Axis("training accuracy on random labels", percent=True),
        y=Axis("accuracy on held-out examples", percent=True),
        series=tuple(sorted({point.series for point in points})),
        points=tuple(points),
        legend="regularizer",
    )


def curves(advice: Advice) -> Figure:
    """Return Figure 11 for these data: training curves of those on the front, and of none."""
    names = [name for name in _names(advice.front) if name in advice.curves][:SHOWN]
    none = "none"
    shown = [*(name for name in names if name != none), none]
    points: list[Point] = []
    for name in shown:
        for panel, own in zip(
            ("labels at hand", "random labels"), advice.curves[name], strict=True
        ):
            points += mean_points(panel, name, advice.checkpoints, own)
    return Figure(
        id="advice-curves",
        title="Training curves of the undominated",
        source="as A17 Fig 11",
        reading=(
            "Training accuracy by epoch, on fresh seeds. A regularizer that stops memorization "
            "lowers the curve on random labels, and not that on the labels at hand."
        ),
        x=Axis("epoch", log=True),
        y=Axis("training accuracy", percent=True),
        series=tuple(shown),
        points=tuple(point.clipped() for point in points),
        legend="regularizer",
        dashed=(none,),
        marks=False,
    )


def _names(rows: pd.DataFrame) -> list[str]:
    return [str(name) for name in rows["name"]]

"""The map of a data set: confidence against variability, all examples as a shade, some as dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.charts import style, vega
from byheart.charts.drawn import DrawnFigure, csv_text
from byheart.charts.figure import Caption
from byheart.charts.vega import Layout
from byheart.texts import visible_within

VERDICTS = ("mislabelled", "ambiguous", "rare", "typical")
"""Verdicts, in the order of the page."""
LAYOUT = Layout(600, 380, 1)
CELLS = 36
"""Steps of the shade on either axis."""
COLOURS = {
    "mislabelled": style.KINDS["randX"],
    "ambiguous": style.OTHERS[0],
    "rare": style.KINDS["real"],
    "typical": style.REFERENCE,
}
SHAPES = {
    "mislabelled": "diamond",
    "ambiguous": "triangle-up",
    "rare": "square",
    "typical": "circle",
}
_AXIS = alt.Axis(format=".1f", tickCount=5)
FIELDS = ("panel", "series", "x", "y", "id", "label")
CSV_COLUMNS = ("id", "label", "verdict", "variability", "confidence")


def draw_map(
    table: pd.DataFrame, classes: Sequence[str], shown: NDArray[np.int64]
) -> DrawnFigure | None:
    """Return the map, or None if the table has no such columns or nothing to show.

    Args:
        table: of all examples, by id.
        classes: name of each class.
        shown: ids of the examples that have a dot.
    """
    if not {"confidence", "variability"} <= set(table):
        return None
    known = table[table["confidence"].notna() & table["variability"].notna()]
    dots = table.loc[shown[np.isin(shown, known.index)]]
    if not len(dots):
        return None
    cells = _cells(known) if len(known) > len(dots) else []
    rows: list[list[Any]] = [
        [
            "",
            row["verdict"],
            round(float(row["variability"]), 4),
            round(float(row["confidence"]), 4),
            int(row["id"]),
            classes[int(row["label"])] if row["label"] >= 0 else "",
        ]
        for row in dots.reset_index().to_dict("records")
    ]
    # Doubtful examples lie above the typical ones.
    rows.sort(key=lambda row: -VERDICTS.index(row[1]))
    caption = _caption(len(known), len(dots))
    points = [dict(zip(FIELDS, row, strict=True)) for row in rows]
    return DrawnFigure(
        figure=caption,
        svg=vega.to_svg(_declare(cells, points=points), caption.title, caption.reading),
        csv=csv_text(CSV_COLUMNS, ([i, label, v, x, y] for _, v, x, y, i, label in rows)),
        empty=False,
        declaration=_declare(cells),
        data={"fields": list(FIELDS), "rows": visible_within(rows)},
    )


def _caption(examples: int, dots: int) -> Caption:
    reading = (
        "Top: examples that the network predicts as labelled in every epoch. Bottom: examples "
        "whose label it never predicts. Right: examples whose prediction changes between epochs."
    )
    if dots < examples:
        reading += f" The shade counts all {examples:,} examples; {dots:,} have a dot."
    return Caption("map", "The map of the data set", "", reading)


def _declare(
    cells: list[dict[str, float]],
    *,
    points: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the declaration: still with points, which it then holds, else with a tooltip."""
    base = alt.Chart(alt.NamedData("points"))
    order = list(VERDICTS)
    dots = base.mark_point(filled=True, size=46, opacity=0.9).encode(
        x=alt.X("x:Q", title="variability", scale=alt.Scale(domain=[0, 0.5]), axis=_AXIS),
        y=alt.Y("y:Q", title="confidence", scale=alt.Scale(domain=[0, 1]), axis=_AXIS),
        color=alt.Color("series:N", title=None, scale=_scale(order, COLOURS)),
        shape=alt.Shape("series:N", title=None, scale=_scale(order, SHAPES)),
    )
    if points is None:
        dots = dots.encode(
            tooltip=[
                alt.Tooltip("id:Q", title="example"),
                alt.Tooltip("label:N", title="labelled"),
                alt.Tooltip("series:N", title="verdict"),
            ]
        )
    layers = [_shade(), dots] if cells else [dots]
    view = alt.layer(*layers).properties(width=LAYOUT.width, height=LAYOUT.height)
    whole = view.properties(background="transparent", padding=4)
    declaration: dict[str, Any] = whole.to_dict(validate=False)
    declaration["config"] = vega.config(VERDICTS, LAYOUT)
    declaration["datasets"] = {"cells": cells} if cells else {}
    if points is not None:
        declaration["datasets"]["points"] = points
    return declaration


def _shade() -> alt.Chart:
    shade: alt.Chart = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect(color=style.REFERENCE)
        .encode(
            x=alt.X("x:Q"),
            x2="x2:Q",
            y=alt.Y("y:Q"),
            y2="y2:Q",
            opacity=alt.Opacity("shade:Q", scale=None, legend=None),
        )
    )
    return shade


def _scale(order: list[str], values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=order, range=[values[name] for name in order])


def _cells(known: pd.DataFrame) -> list[dict[str, float]]:
    """Return the cells that hold examples; the shade grows with the logarithm of their number."""
    counts, x, y = np.histogram2d(
        known["variability"], known["confidence"], bins=CELLS, range=((0, 0.5), (0, 1))
    )
    shade = 0.06 + 0.44 * np.log1p(counts) / np.log1p(counts.max())
    return [
        {
            "x": round(x[i], 4),
            "x2": round(x[i + 1], 4),
            "y": round(y[j], 4),
            "y2": round(y[j + 1], 4),
            "shade": round(shade[i, j], 3),
        }
        for i, j in np.argwhere(counts > 0).tolist()
    ]

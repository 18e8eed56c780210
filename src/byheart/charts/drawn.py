"""A figure as a page shows it: as SVG, as an interactive chart, and as CSV."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from byheart.charts import marks, vega
from byheart.charts.figure import (
    Axis,
    Caption,
    Drawing,
    Figure,
    MatrixFigure,
    PictureFigure,
    Point,
)
from byheart.charts.tiles import draw_tiles
from byheart.errors import InputError
from byheart.texts import cell, visible_within

COLUMNS = ("panel", "series", "x", "y", "low", "high", "upper")
CROSS_COLUMNS = ("left", "right")
"""Further columns if x is an estimate too."""
PIXEL_COLUMNS = ("picture", "tile", "row", "column", "channel", "value")
CELL_COLUMNS = ("panel", "row", "column", "value")
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with everything that a page holds of it.

    Attributes:
        figure: its caption.
        svg: the figure as it stands in ``figures/``.
        csv: the data to download.
        empty: there is nothing to draw.
        declaration: the interactive chart, without its data; None for pictures and heat maps.
        data: the data of the chart: names of the fields and one list of values per row.
        hidden: number of points that a logarithmic axis cannot show.
    """

    figure: Caption
    svg: str
    csv: str
    empty: bool
    declaration: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    hidden: int = 0


@dataclass(frozen=True)
class DrawingPace:
    """How long drawing takes.

    Attributes:
        first: seconds to load the scripts and to draw the first chart.
        next: seconds of every chart after it.
    """

    first: float
    next: float

    def page(self, charts: int) -> float:
        """Return the seconds of a page with this number of charts."""
        return self.first + self.next * max(0, charts - 1)


def draw_all(figures: Iterable[Drawing]) -> dict[str, DrawnFigure]:
    """Draw figures; return them by id.

    Raises:
        InputError: an id that cannot name a file, or that two figures share.
    """
    drawn: dict[str, DrawnFigure] = {}
    for figure in figures:
        if not _ID.fullmatch(figure.id):
            raise InputError(f"a figure's id names a file: '{figure.id}' cannot")
        if figure.id in drawn:
            raise InputError(f"two figures have the id '{figure.id}': rename one")
        drawn[figure.id] = draw(figure)
    return drawn


def draw(figure: Drawing) -> DrawnFigure:
    """Draw one figure."""
    if not isinstance(figure, Figure):
        pictured = figure.pictures if isinstance(figure, PictureFigure) else figure.matrices
        return DrawnFigure(
            figure=figure,
            svg=draw_tiles(figure),
            csv=to_csv(figure),
            empty=not pictured,
        )
    rows = marks.rows(figure)
    fields = list(rows[0]) if rows else []
    return DrawnFigure(
        figure=figure,
        svg=vega.draw_svg(figure, vega.wide(figure)),
        csv=to_csv(figure),
        empty=not rows,
        declaration=visible_within(vega.declare(figure, vega.wide(figure), interactive=True)),
        data={"fields": fields, "rows": visible_within([list(row.values()) for row in rows])},
        hidden=len(figure.points) - len(rows),
    )


def to_csv(figure: Drawing) -> str:
    """Return the data of a figure as CSV, unrounded.

    A line chart has one row per point (``COLUMNS``), a picture one per value of every pixel
    (``PIXEL_COLUMNS``), a matrix one per cell (``CELL_COLUMNS``).
    """
    if isinstance(figure, PictureFigure):
        return csv_text(PIXEL_COLUMNS, _pixels(figure))
    if isinstance(figure, MatrixFigure):
        return csv_text(CELL_COLUMNS, _cells(figure))
    crossed = any(point.left is not None for point in figure.points)
    columns = (*COLUMNS, *CROSS_COLUMNS) if crossed else COLUMNS
    return csv_text(columns, ([getattr(p, name) for name in columns] for p in figure.points))


def csv_text(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV with a header. No text of it is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def _pixels(figure: PictureFigure) -> Iterator[tuple[str, int, int, int, int, float]]:
    for picture in figure.pictures:
        for number, tile in enumerate(picture.tiles):
            for y, row in enumerate(tile):
                for x, pixel in enumerate(row):
                    for channel, value in enumerate(pixel):
                        yield picture.name, number, y, x, channel, value


def _cells(figure: MatrixFigure) -> Iterator[tuple[str, str, str, float]]:
    for matrix in figure.matrices:
        for row, values in zip(figure.labels, matrix.values, strict=True):
            for column, value in zip(figure.labels, values, strict=True):
                yield matrix.name, row, column, value


def drawing_pace() -> DrawingPace:
    """Measure how fast this machine draws: draw a typical chart twice."""
    start = time.perf_counter()
    vega.libraries()
    draw(_TYPICAL)
    middle = time.perf_counter()
    draw(_TYPICAL)
    return DrawingPace(middle - start, time.perf_counter() - middle)


_TYPICAL = Figure(
    id="pace",
    title="A typical chart",
    source="",
    reading="Two panels of three series with bands.",
    x=Axis("epoch", log=True),
    y=Axis("accuracy", percent=True),
    series=("real", "randX", "randY"),
    points=tuple(
        Point(panel, series, x, 0.5, 0.4, 0.6)
        for panel in ("training", "validation")
        for series in ("real", "randX", "randY")
        for x in range(1, 16)
    ),
)

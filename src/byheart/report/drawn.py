"""A figure with everything a page holds of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from byheart.report import charts, heatmaps, marks, pictures, table
from byheart.studies.matrix import MatrixFigure
from byheart.studies.picture import Drawing, PictureFigure
from byheart.texts import visible_within

_ID = re.compile(r"[a-z0-9][a-z0-9-]*")


class Caption(Protocol):
    """What stands above a figure; see :class:`byheart.studies.figure.Figure`."""

    @property
    def id(self) -> str:
        """What the page and its files call it."""
        ...

    @property
    def title(self) -> str:
        """In a line."""
        ...

    @property
    def source(self) -> str:
        """Of the claim: paper and figure."""
        ...

    @property
    def reading(self) -> str:
        """How to read it."""
        ...


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with everything the page holds of it.

    Attributes:
        figure: what is shown, of which the page takes the caption.
        svg: the figure as it stands in ``figures/``.
        svg_narrow: the same with one panel a row, for a phone without JavaScript.
        csv: the data to download.
        empty: there is nothing to draw.
        declaration: the interactive chart, without its data; None for pictures, which stand still.
        data: the data of the chart: names of the fields and one list of values per row.
        hidden: points that a logarithmic axis cannot show.
    """

    figure: Caption
    svg: str
    svg_narrow: str
    csv: str
    empty: bool
    declaration: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    hidden: int = 0


def draw_all(figures: Iterable[Drawing]) -> dict[str, DrawnFigure]:
    """Return every figure drawn, by its id.

    Raises:
        ValueError: an id that cannot name a file, or that two figures have.
    """
    drawn: dict[str, DrawnFigure] = {}
    for figure in figures:
        if not _ID.fullmatch(figure.id):
            raise ValueError(f"a figure's id names a file: '{figure.id}' is none")
        if figure.id in drawn:
            raise ValueError(f"two figures have the id '{figure.id}'")
        drawn[figure.id] = draw(figure)
    return drawn


def draw(figure: Drawing) -> DrawnFigure:
    """Return one figure drawn."""
    csv = table.to_csv(figure)
    if isinstance(figure, PictureFigure):
        wide, narrow = (
            pictures.draw_svg(figure, sheet) for sheet in (pictures.WIDE, pictures.NARROW)
        )
        return DrawnFigure(figure, wide, narrow, csv, empty=not figure.pictures)
    if isinstance(figure, MatrixFigure):
        wide, narrow = (
            heatmaps.draw_svg(figure, sheet) for sheet in (heatmaps.WIDE, heatmaps.NARROW)
        )
        return DrawnFigure(figure, wide, narrow, csv, empty=not figure.matrices)
    rows = marks.rows(figure)
    fields = list(rows[0]) if rows else []
    return DrawnFigure(
        figure=figure,
        svg=charts.draw_svg(figure, charts.wide(figure)),
        svg_narrow=charts.draw_svg(figure, charts.narrow(figure)),
        csv=csv,
        empty=not rows,
        declaration=visible_within(charts.declare(figure, charts.wide(figure), interactive=True)),
        data={"fields": fields, "rows": visible_within([list(row.values()) for row in rows])},
        hidden=len(figure.points) - len(rows),
    )

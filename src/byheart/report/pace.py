"""How fast this machine draws."""

from __future__ import annotations

import time
from dataclasses import dataclass

from byheart.report import charts
from byheart.studies.figure import Axis, Figure, Point

_FIGURE = Figure(
    id="pace",
    title="A chart like most",
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


@dataclass(frozen=True)
class DrawingPace:
    """What drawing takes.

    Attributes:
        first: seconds until a page can be drawn: its scripts, and the first chart.
        next: seconds of every chart after it.
    """

    first: float
    next: float

    def page(self, charts: int) -> float:
        """Return the seconds of a page of so many charts."""
        return self.first + self.next * max(0, charts - 1)


def drawing_pace() -> DrawingPace:
    """Draw a chart twice, as pages do: for wide and narrow screens, and to be looked into."""
    begun = time.perf_counter()
    charts.libraries()
    _draw(_FIGURE)
    again = time.perf_counter()
    _draw(_FIGURE)
    return DrawingPace(again - begun, time.perf_counter() - again)


def _draw(figure: Figure) -> None:
    for layout in (charts.wide(figure), charts.narrow(figure)):
        charts.draw_svg(figure, layout)
    charts.declare(figure, charts.wide(figure), interactive=True)

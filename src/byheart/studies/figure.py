"""What a chart shows, as plain data; the report draws it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Axis:
    """Title and scale of an axis."""

    title: str
    log: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Point:
    """One mark: a mean over seeds, its 95% interval, and a bracket, where there are such.

    Attributes:
        panel: it stands in.
        series: it belongs to.
        x: position.
        y: the mean; of a bracketed quantity, that of its lower bound.
        low: lower end of the interval of y.
        high: upper end of the interval of y.
        upper: mean of the upper bound of a bracketed quantity.
        left: lower end of the interval of x, where x is estimated too.
        right: upper end of the interval of x.
    """

    panel: str
    series: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    upper: float | None = None
    left: float | None = None
    right: float | None = None

    def clipped(self) -> Point:
        """Return the point with its interval cut to [0, 1], for proportions."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(0.0, self.low), high=min(1.0, self.high))


@dataclass(frozen=True)
class Span:
    """A place on the horizontal axis that is marked, with its interval, behind the lines."""

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """One chart: lines with interval bands, one colour per series, side by side in panels.

    Attributes:
        id: file name of the SVG, without ending.
        title: what is seen, in a few words.
        source: the papers' figure ("A17 Fig 1").
        reading: one sentence that says how to read it.
        x: horizontal axis.
        y: vertical axis.
        series: names of the series, in the order of the legend.
        points: the data; points of one series and panel are joined in the order of x.
        legend: what the series are.
        ordered: the series are levels of one quantity (sequential colours), else kinds.
        dashed: series that are references, drawn dashed.
        marks: draw a dot at every point.
        level: coverage of the intervals.
        span: what is marked on the horizontal axis, if anything is.
    """

    id: str
    title: str
    source: str
    reading: str
    x: Axis
    y: Axis
    series: tuple[str, ...]
    points: tuple[Point, ...]
    legend: str = ""
    ordered: bool = False
    dashed: tuple[str, ...] = ()
    marks: bool = True
    level: float = 0.95
    span: Span | None = None

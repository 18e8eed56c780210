"""What a chart shows, as plain data. :mod:`byheart.charts.drawn` draws it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Caption:
    """The words above a figure.

    Attributes:
        id: file name of the SVG, without ending.
        title: what the figure shows, in a few words.
        source: figure of the papers that it repeats ("A17 Fig 1"); may be empty.
        reading: one or two sentences that say how to read it.
    """

    id: str
    title: str
    source: str
    reading: str


@dataclass(frozen=True)
class Axis:
    """Title and scale of an axis."""

    title: str
    log: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Point:
    """One mark of a chart: a mean over seeds with its interval.

    Attributes:
        panel: name of its panel.
        series: name of its series.
        x: position.
        y: mean; for a bracketed quantity, the mean of its lower bound.
        low: lower end of the interval of y.
        high: upper end of the interval of y.
        upper: mean of the upper bound of a bracketed quantity.
        left: lower end of the interval of x, if x is an estimate.
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
    """A marked position on the horizontal axis with its interval, drawn behind the lines."""

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure(Caption):
    """A line chart: one colour per series, interval bands, one or more panels side by side.

    Attributes:
        x: horizontal axis.
        y: vertical axis.
        series: names of the series, in the order of the legend.
        points: the data. Points of the same series and panel are joined in the order of x.
        legend: title of the legend.
        ordered: the series are levels of one quantity (sequential colours), not kinds.
        dashed: names of reference series, drawn dashed.
        marks: draw a dot at every point.
        level: coverage of the intervals.
        span: marked position on the horizontal axis, if any.
    """

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


Tile = tuple[tuple[tuple[float, ...], ...], ...]
"""Rows of pixels. A pixel has one value (grey) or three (red, green, blue)."""


@dataclass(frozen=True)
class Picture:
    """Small square images of signed values, side by side.

    Attributes:
        name: stands above the images.
        tiles: the images. Each is scaled on its own; zero is grey.
    """

    name: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class PictureFigure(Caption):
    """Pictures to compare tile by tile; their tiles are in the same order."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Matrix:
    """A square matrix of values of 0 or more.

    Attributes:
        name: stands above the matrix.
        values: row by row. The colours go from 0 to the largest value.
    """

    name: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class MatrixFigure(Caption):
    """Matrices with the same rows and columns, to compare.

    Attributes:
        rows: what a row is.
        columns: what a column is.
        labels: names of the rows, which are also those of the columns.
        matrices: one per panel.
    """

    rows: str
    columns: str
    labels: tuple[str, ...]
    matrices: tuple[Matrix, ...]


Drawing = Figure | PictureFigure | MatrixFigure
"""Any figure."""


def picture_of(name: str, filters: NDArray[np.floating]) -> Picture:
    """Return the picture of filters [F, channels, k, k].

    Three channels are red, green and blue; any other number is averaged into grey.
    """
    channels = filters.shape[1]
    shown = filters if channels == 3 else filters.mean(axis=1, keepdims=True)
    tiles = np.moveaxis(shown, 1, -1).astype(float).tolist()
    return Picture(
        name,
        tuple(tuple(tuple(tuple(pixel) for pixel in row) for row in tile) for tile in tiles),
    )

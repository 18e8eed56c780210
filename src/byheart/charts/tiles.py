"""Pictures and heat maps as SVG. Every value is a square; no JavaScript is needed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from byheart.charts.figure import Caption, Matrix, MatrixFigure, Picture, PictureFigure, Tile
from byheart.charts.style import FAINT, FONT, INK, cell_colour
from byheart.texts import xml

GAP, NAME, AXIS, LETTER = 24, 24, 34, 5.5
"""Pixels between panels, above a panel for its name, beside a matrix for short labels and title;
width of a letter of a label."""
MOST_ACROSS = 8
"""Tiles in a row of a picture."""
LEVELS = 32
"""Shades on either side of zero; the eye cannot tell more apart."""
MOST_LABELS = 12
"""With more labels than these, numbers on the axes would overlap."""


@dataclass(frozen=True)
class Sheet:
    """Width of a drawing in pixels, and the number of panels in a row."""

    width: int
    columns: int

    @property
    def room(self) -> float:
        """Width of a panel in pixels."""
        return (self.width - (self.columns - 1) * GAP) / self.columns


PICTURES, MATRICES = Sheet(600, 2), Sheet(600, 3)
"""They fit the width of a page of paper."""


def draw_tiles(figure: PictureFigure | MatrixFigure) -> str:
    """Return the figure as SVG, with title and reading for screen readers."""
    if isinstance(figure, PictureFigure):
        return _assemble(figure, PICTURES, (_picture(p, PICTURES.room) for p in figure.pictures))
    panels = (_matrix(figure, matrix, MATRICES.room) for matrix in figure.matrices)
    return _assemble(figure, MATRICES, panels)


def _assemble(caption: Caption, sheet: Sheet, panels: Iterable[tuple[str, float]]) -> str:
    """Return panels, each with its height, in rows; a row is as high as its highest panel."""
    body, top, row_height = [], 0.0, 0.0
    for index, (drawn, height) in enumerate(panels):
        column = index % sheet.columns
        if index and not column:
            top, row_height = top + row_height + GAP, 0.0
        left = column * (sheet.room + GAP)
        body.append(f'<g transform="translate({left:.1f} {top:.1f})">{drawn}</g>')
        row_height = max(row_height, height)
    height = max(1.0, top + row_height)
    words = f"<title>{xml(caption.title)}</title><desc>{xml(caption.reading)}</desc>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{height:.0f}" '
        f'viewBox="0 0 {sheet.width} {height:.0f}" font-family={quoteattr(FONT)}>'
        f"{words}{''.join(body)}</svg>"
    )


def _text(words: str, x: float, y: float, colour: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {style}>{xml(words)}</text>'


def _name(words: str, left: float) -> str:
    return _text(words, left, 14, INK, 'font-size="12" font-weight="600"')


def _picture(picture: Picture, room: float) -> tuple[str, float]:
    """Return the SVG of a picture, and its height."""
    tiles = picture.tiles
    side = len(tiles[0]) if tiles else 1
    across = max(1, min(MOST_ACROSS, len(tiles)))
    # One unit is one value; there is a gap of one unit between tiles.
    scale = room / (MOST_ACROSS * (side + 1) - 1)
    paths = "".join(
        f'<path fill="{colour}" d="{"".join(places)}"/>'
        for colour, places in _squares(tiles, across).items()
    )
    place = f"translate(0.0 {NAME:.1f}) scale({scale:.4f})"
    rows = math.ceil(len(tiles) / across)
    height = NAME + scale * max(0, rows * (side + 1) - 1)
    drawn = f'<g transform="{place}" shape-rendering="crispEdges">{paths}</g>'
    return _name(picture.name, 0) + drawn, height


def _squares(tiles: tuple[Tile, ...], across: int) -> dict[str, list[str]]:
    """Return for each colour the outlines of its values, in units of a value."""
    squares: dict[str, list[str]] = defaultdict(list)
    for number, tile in enumerate(tiles):
        down, right = divmod(number, across)
        for y, x, colour in _pixels(tile):
            step = len(tile) + 1
            squares[colour].append(f"M{right * step + x} {down * step + y}h1v1h-1z")
    return squares


def _pixels(tile: Tile) -> Iterator[tuple[int, int, str]]:
    largest = max((abs(v) for row in tile for pixel in row for v in pixel), default=0.0) or 1.0
    for y, row in enumerate(tile):
        for x, pixel in enumerate(row):
            shades = [_shade(value / largest) for value in pixel]
            red, green, blue = shades * 3 if len(shades) == 1 else shades
            yield y, x, f"#{red:02x}{green:02x}{blue:02x}"


def _shade(value: float) -> int:
    """Return a value in [-1, 1] as a byte: 0 for -1, 128 for 0, 255 for 1, in even steps."""
    step = round(value * LEVELS) / LEVELS
    return min(255, round(128 + 128 * step))


def _matrix(figure: MatrixFigure, matrix: Matrix, room: float) -> tuple[str, float]:
    """Return the SVG of a matrix with its labels, and its height."""
    count = len(matrix.values)
    longest = LETTER * max(map(len, figure.labels), default=0)
    axis = min(max(AXIS, 20 + longest), room / 2)
    side = (room - axis) / max(1, count)
    end = side * count
    body = [_name(matrix.name, axis)]
    cells = "".join(_cells(figure, matrix, axis, side))
    body.append(f'<g shape-rendering="crispEdges">{cells}</g>')
    for index in range(0, count, 1 + (count - 1) // MOST_LABELS):
        middle, label = (index + 0.5) * side, figure.labels[index]
        at_end, centred = 'font-size="9" text-anchor="end"', 'font-size="9" text-anchor="middle"'
        body.append(_text(label, axis - 4, NAME + middle + 3, FAINT, at_end))
        if longest > side:
            x, y = axis + middle + 3, NAME + end + 4
            upright = f'{at_end} transform="rotate(-90 {x:.1f} {y:.1f})"'
            body.append(_text(label, x, y, FAINT, upright))
        else:
            body.append(_text(label, axis + middle, NAME + end + 11, FAINT, centred))
    title = 'font-size="11" text-anchor="middle"'
    body.append(_text(figure.columns, axis + end / 2, NAME + end + axis - 8, INK, title))
    turned = f'{title} transform="rotate(-90 10 {NAME + end / 2:.1f})"'
    body.append(_text(figure.rows, 10, NAME + end / 2, INK, turned))
    return "".join(body), NAME + room


def _cells(figure: MatrixFigure, matrix: Matrix, axis: float, side: float) -> Iterator[str]:
    largest = max((value for row in matrix.values for value in row), default=0.0) or 1.0
    for i, row in enumerate(matrix.values):
        for j, value in enumerate(row):
            words = f"{figure.rows} {figure.labels[i]}, {figure.columns} {figure.labels[j]}"
            yield (
                f'<rect x="{axis + j * side:.2f}" y="{NAME + i * side:.2f}" width="{side:.2f}" '
                f'height="{side:.2f}" fill="{cell_colour(value / largest)}">'
                f"<title>{xml(words)}: {value:.3g}</title></rect>"
            )

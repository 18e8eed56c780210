"""From a picture figure to an SVG: every weight a square, no JavaScript needed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from byheart.report.palette import INK
from byheart.report.style import FONT
from byheart.studies.picture import Picture, PictureFigure, Tile
from byheart.texts import xml

GAP, LABEL = 26, 24
"""Pixels between panels, and above each for its name."""
MOST_ACROSS = 8
LEVELS = 32
"""Shades on either side of zero; the eye tells no more apart."""


@dataclass(frozen=True)
class Sheet:
    """Width of the drawing in pixels, and how many pictures stand side by side."""

    width: int
    columns: int


WIDE, NARROW = Sheet(600, 2), Sheet(300, 1)
"""For a page of paper and for a phone."""


def draw_svg(figure: PictureFigure, sheet: Sheet) -> str:
    """Return the figure as SVG, with its title and reading for those who cannot see it."""
    room = (sheet.width - (sheet.columns - 1) * GAP) / sheet.columns
    body, top = [], 0.0
    pictures = figure.pictures
    for first in range(0, len(pictures), sheet.columns):
        row = pictures[first : first + sheet.columns]
        height = 0.0
        for column, picture in enumerate(row):
            left = column * (room + GAP)
            drawn, tall = _panel(picture, left, top, room)
            body.append(drawn)
            height = max(height, tall)
        top += height + GAP
    height = max(1.0, top - GAP)
    words = f"<title>{xml(figure.title)}</title><desc>{xml(figure.reading)}</desc>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{height:.0f}" '
        f'viewBox="0 0 {sheet.width} {height:.0f}">{words}{"".join(body)}</svg>'
    )


def _panel(picture: Picture, left: float, top: float, room: float) -> tuple[str, float]:
    """Return the SVG of a picture at a place, and its height."""
    tiles = picture.tiles
    side = len(tiles[0]) if tiles else 1
    across = max(1, min(MOST_ACROSS, len(tiles)))
    # Measured in weights, with a gap of one between tiles.
    scale = room / (MOST_ACROSS * (side + 1) - 1)
    paths = "".join(
        f'<path fill="{colour}" d="{"".join(places)}"/>'
        for colour, places in _squares(tiles, across).items()
    )
    label = (
        f'<text x="{left:.1f}" y="{top + 14:.1f}" fill="{INK}" font-size="12" font-weight="600" '
        f"font-family={quoteattr(FONT)}>{xml(picture.name)}</text>"
    )
    place = f"translate({left:.1f} {top + LABEL:.1f}) scale({scale:.4f})"
    rows = math.ceil(len(tiles) / across)
    height = LABEL + scale * max(0, rows * (side + 1) - 1)
    return f'{label}<g transform="{place}" shape-rendering="crispEdges">{paths}</g>', height


def _squares(tiles: tuple[Tile, ...], across: int) -> dict[str, list[str]]:
    """Return for each colour the outlines of its weights, in units of a weight."""
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

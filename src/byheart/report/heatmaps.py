"""From a matrix figure to an SVG: every value a square that says its number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from byheart.report.palette import FAINT, INK, cell
from byheart.report.style import FONT
from byheart.studies.matrix import Matrix, MatrixFigure
from byheart.texts import xml

GAP, NAME, AXIS = 22, 24, 34
"""Pixels between panels, above each for its name, and beside each for labels and title."""
MOST_LABELS = 12
"""With more classes than these, numbers on the axes would run into each other."""


@dataclass(frozen=True)
class Sheet:
    """Width of the drawing in pixels, and how many matrices stand side by side."""

    width: int
    columns: int


WIDE, NARROW = Sheet(600, 3), Sheet(300, 1)
"""For a page of paper and for a phone."""


def draw_svg(figure: MatrixFigure, sheet: Sheet) -> str:
    """Return the figure as SVG, with its title and reading for those who cannot see it."""
    room = (sheet.width - (sheet.columns - 1) * GAP) / sheet.columns
    panel = NAME + room + GAP  # the labels beside a square take as much room as those below it
    body: list[str] = []
    height = 0.0
    for number, matrix in enumerate(figure.matrices):
        down, right = divmod(number, sheet.columns)
        body += _panel(figure, matrix, right * (room + GAP), down * panel, room)
        height = (down + 1) * panel - GAP
    height = max(1.0, height)
    words = f"<title>{xml(figure.title)}</title><desc>{xml(figure.reading)}</desc>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{height:.0f}" '
        f'viewBox="0 0 {sheet.width} {height:.0f}" font-family={quoteattr(FONT)}>'
        f"{words}{''.join(body)}</svg>"
    )


def _panel(
    figure: MatrixFigure, matrix: Matrix, left: float, top: float, room: float
) -> Iterator[str]:
    count, labels = len(matrix.values), figure.labels
    x, y, side = left + AXIS, top + NAME, (room - AXIS) / max(1, count)
    end = side * count
    yield _text(matrix.name, x, top + 14, INK, 'font-size="12" font-weight="600"')
    yield f'<g shape-rendering="crispEdges">{"".join(_cells(figure, matrix, x, y, side))}</g>'
    every = 1 + (count - 1) // MOST_LABELS
    for index in range(0, count, every):
        middle = (index + 0.5) * side
        own = labels[index]
        yield _text(own, x - 4, y + middle + 3, FAINT, 'font-size="9" text-anchor="end"')
        yield _text(own, x + middle, y + end + 11, FAINT, 'font-size="9" text-anchor="middle"')
    title = 'font-size="11" text-anchor="middle"'
    yield _text(figure.columns, x + end / 2, y + end + 26, INK, title)
    turned = f'{title} transform="rotate(-90 {left + 10:.1f} {y + end / 2:.1f})"'
    yield _text(figure.rows, left + 10, y + end / 2, INK, turned)


def _cells(figure: MatrixFigure, matrix: Matrix, x: float, y: float, side: float) -> Iterator[str]:
    largest = max((value for row in matrix.values for value in row), default=0.0) or 1.0
    for i, row in enumerate(matrix.values):
        for j, value in enumerate(row):
            words = f"{figure.rows} {figure.labels[i]}, {figure.columns} {figure.labels[j]}"
            yield (
                f'<rect x="{x + j * side:.2f}" y="{y + i * side:.2f}" width="{side:.2f}" '
                f'height="{side:.2f}" fill="{cell(value / largest)}">'
                f"<title>{xml(words)}: {value:.3g}</title></rect>"
            )


def _text(words: str, x: float, y: float, colour: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {style}>{xml(words)}</text>'

"""The data of a figure as CSV, and files as links within the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from urllib.parse import quote

import pandas as pd

from byheart.studies.matrix import MatrixFigure
from byheart.studies.picture import Drawing, PictureFigure
from byheart.texts import cell

COLUMNS = ("panel", "series", "x", "y", "low", "high", "upper")
CROSS_COLUMNS = ("left", "right")
"""Where x is estimated too."""
PIXEL_COLUMNS = ("picture", "tile", "row", "column", "channel", "value")
CELL_COLUMNS = ("panel", "row", "column", "value")


def to_csv(figure: Drawing) -> str:
    """Return every point of a figure, unrounded, under the columns ``COLUMNS``.

    Of pictures it returns every value of every pixel, under ``PIXEL_COLUMNS``, and of matrices
    every cell, under ``CELL_COLUMNS``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if isinstance(figure, PictureFigure):
        writer.writerow(PIXEL_COLUMNS)
        writer.writerows(_pixels(figure))
        return text.getvalue()
    if isinstance(figure, MatrixFigure):
        writer.writerow(CELL_COLUMNS)
        writer.writerows(_cells(figure))
        return text.getvalue()
    crossed = any(point.left is not None for point in figure.points)
    columns = (*COLUMNS, *CROSS_COLUMNS) if crossed else COLUMNS
    writer.writerow(columns)
    for point in figure.points:
        writer.writerow([cell(getattr(point, column)) for column in columns])
    return text.getvalue()


def frame_csv(frame: pd.DataFrame, *, index: bool = True) -> str:
    """Return a table as CSV, six significant digits a number, no text a formula."""
    safe = frame.map(cell)
    text: str = safe.to_csv(index=index, lineterminator="\n", float_format="%.6g")
    return text


def data_uri(kind: str, text: str) -> str:
    """Return a text as an address that holds it, so that one file is enough to download it."""
    return f"data:{kind};charset=utf-8," + quote(text, safe="/:=(),;!*@$")


def _pixels(figure: PictureFigure) -> Iterator[tuple[str, int, int, int, int, float]]:
    for picture in figure.pictures:
        for number, tile in enumerate(picture.tiles):
            for y, row in enumerate(tile):
                for x, pixel in enumerate(row):
                    for channel, value in enumerate(pixel):
                        yield cell(picture.name), number, y, x, channel, value


def _cells(figure: MatrixFigure) -> Iterator[tuple[str, str, str, float]]:
    for matrix in figure.matrices:
        for row, values in zip(figure.labels, matrix.values, strict=True):
            for column, value in zip(figure.labels, values, strict=True):
                yield cell(matrix.name), cell(row), cell(column), value

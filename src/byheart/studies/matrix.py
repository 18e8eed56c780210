"""Matrices side by side, as plain data; the report draws them as heat maps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Matrix:
    """A square of values of 0 or more.

    Attributes:
        name: stands above it.
        values: one row after the other; drawn from 0 to the largest of them.
    """

    name: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class MatrixFigure:
    """Matrices with the same rows and columns, to be compared.

    Attributes:
        id: file name of the SVG, without ending.
        title: what is seen, in a few words.
        source: the papers' figure ("A17 Fig 4").
        reading: one sentence that says how to read it.
        rows: what a row is.
        columns: what a column is.
        labels: of rows and columns.
        matrices: the panels.
    """

    id: str
    title: str
    source: str
    reading: str
    rows: str
    columns: str
    labels: tuple[str, ...]
    matrices: tuple[Matrix, ...]

"""Pictures of what a network holds, as plain data; the report draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.studies.figure import Figure
from byheart.studies.matrix import MatrixFigure

Tile = tuple[tuple[tuple[float, ...], ...], ...]
"""Rows of pixels, each with one value (grey) or three (red, green, blue)."""


@dataclass(frozen=True)
class Picture:
    """Small square images of signed values, side by side.

    Attributes:
        name: stands above it.
        tiles: the images; each is drawn on a scale of its own, grey where it is zero.
    """

    name: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class PictureFigure:
    """Pictures to be compared tile by tile.

    Attributes:
        id: file name of the SVG, without ending.
        title: what is seen, in a few words.
        source: the papers' figure ("A17 Fig 2").
        reading: one sentence that says how to read it.
        pictures: with tiles in the same order.
    """

    id: str
    title: str
    source: str
    reading: str
    pictures: tuple[Picture, ...]


Drawing = Figure | PictureFigure | MatrixFigure
"""What a study shows."""


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

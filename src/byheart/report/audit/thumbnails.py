"""Inputs as small pictures within the page, and as words where they are none."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 4
"""Pixels on a side below which an array is no picture."""
VALUES = 12
"""Numbers of an input that are written out."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2


@dataclass(frozen=True)
class Thumbnail:
    """A picture that lies in the page.

    Attributes:
        uri: an address that holds it.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether an input is a picture: [H, W] or [channels, H, W]."""
    return len(shape) in (2, 3) and min(shape[-2:]) >= SMALLEST


def thumbnail(x: NDArray[Any], side: int) -> Thumbnail:
    """Return an input in [0, 1] as a picture, averaged down to at most so many pixels a side.

    Three channels are red, green and blue; any other number is averaged into grey.

    Args:
        x: [H, W] or [channels, H, W].
        side: most pixels of its longer side.
    """
    pixels = x[..., None] if x.ndim == 2 else np.moveaxis(x, 0, -1)
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(-1, keepdims=True)
    small = _averaged(pixels.astype(np.float64), math.ceil(max(pixels.shape[:2]) / side))
    # Inputs replaced by Gaussian noise leave [0, 1].
    shades = np.rint(255 * small.clip(0, 1)).astype(np.uint8)
    data = base64.b64encode(png(shades)).decode()
    return Thumbnail(f"data:image/png;base64,{data}", small.shape[1], small.shape[0])


def in_numbers(x: NDArray[Any]) -> str:
    """Return an input's first values, and how many there are."""
    values = x.reshape(-1)
    shown = ", ".join(f"{value:.3g}" for value in values[:VALUES].tolist())
    return shown if len(values) <= VALUES else f"{shown}, … ({len(values):,} values)"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels [H, W, 1 or 3] as a PNG file.

    Source: Portable Network Graphics (PNG) Specification, third edition, sections 5, 7 and 9.
    """
    height, width, channels = pixels.shape
    # Rows as they are, or each byte less that of the pixel before it: photographs gain by that.
    differences = pixels.copy()
    differences[:, 1:] -= pixels[:, :-1]
    packed = min((_packed(pixels, 0), _packed(differences, 1)), key=len)
    colour = _COLOUR if channels == 3 else _GREY
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


def _packed(rows: NDArray[np.uint8], kind: int) -> bytes:
    flat = rows.reshape(len(rows), -1)
    return zlib.compress(np.insert(flat, 0, kind, axis=1).tobytes(), 9)


def _chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _averaged(pixels: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Return the means of blocks of step x step pixels; those at the far edges may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], step)
        sizes = np.diff(np.append(starts, pixels.shape[axis]))
        sums: NDArray[np.float64] = np.add.reduceat(pixels, starts, axis=axis)
        pixels = sums / sizes.reshape(-1, *[1] * (2 - axis))
    return pixels

"""What a file may ask for: memory in proportion to what a data set needs, and no more."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from byheart.errors import DataError, InputError

VARIABLE = "BYHEART_MOST_GIB"
USUAL = 4.0
"""GiB that the inputs of a data set may take: 1.3 million images of 28 x 28 pixels."""
_FLOAT = 4
"""Bytes of an input's number in memory, however small it was in the file."""
_CHUNK = 2**20


def most_bytes() -> float:
    """Return how many bytes the inputs of a data set may take in memory.

    Raises:
        InputError: ``BYHEART_MOST_GIB`` is set, and is no number above 0.
    """
    named = os.environ.get(VARIABLE, "")
    try:
        gib = float(named) if named else USUAL
    except ValueError:
        gib = math.nan
    if not gib > 0:
        raise InputError(f"{VARIABLE} is '{named}': set it to a number of GiB above 0, or unset it")
    return gib * 2**30


def require_room(path: Path | str, shape: Sequence[int], itemsize: int = _FLOAT) -> None:
    """Refuse a file before anything is set aside for what it claims to hold.

    A few kilobytes can claim terabytes, and a compressed file can even deliver a thousand times its
    size.

    Args:
        path: the file.
        shape: that it claims.
        itemsize: bytes of one number in the file.

    Raises:
        DataError: it claims more than a data set may take.
    """
    if math.prod(shape) * max(itemsize, _FLOAT) > most_bytes():
        raise DataError(
            f"{path} claims to hold more than the {most_bytes() / 2**30:g} GiB that a data set may "
            f"take in memory: if it is yours and right, set {VARIABLE} to more"
        )


def require_file(path: Path) -> None:
    """Refuse what only looks like a file: a pipe would never end, nor would a device.

    Raises:
        DataError: there is no such file, or it is something else.
    """
    if path.exists() and not path.is_file():
        what = "Is a directory" if path.is_dir() else "it is a pipe or a device"
        raise DataError(f"{path} cannot be read: {what}: put a file there")


def read_up_to(file: BinaryIO, size: int) -> bytearray:
    """Return the next ``size`` bytes, fewer where the file ends; takes memory as they come."""
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(_CHUNK, size - len(content)))
        if not piece:
            break
        content += piece
    return content

"""From the arrays of a file to a checked data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from byheart.data.dataset import Dataset
from byheart.errors import DataError, InputError


def from_bytes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return pixels of 0..255 as float32 in [0, 1]."""
    scaled = pixels.astype(np.float32)
    scaled /= 255  # in place: at the size of MNIST a second array costs more than the division
    return scaled


def assemble(
    path: Path,
    name: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Return :meth:`Dataset.from_arrays`, with errors that name the file.

    Raises:
        DataError: the arrays are no data set.
    """
    try:
        return Dataset.from_arrays(name, x, y, classes)
    except InputError as error:
        raise DataError(f"{path}: {error}") from None

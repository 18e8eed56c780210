"""Bytes to numbers in [0, 1]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def from_bytes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return pixels of 0..255 as float32 in [0, 1]."""
    scaled = pixels.astype(np.float32)
    scaled /= 255  # in place: at the size of MNIST a second array costs more than the division
    return scaled

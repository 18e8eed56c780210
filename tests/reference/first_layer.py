"""The slow twin of the energy in low frequencies: sums over every place and frequency."""

from __future__ import annotations

import cmath
import math

import numpy as np


def low_frequency_energy(kernels: np.ndarray) -> float:
    """Return the share of one filter [channels, k, k] from its definition."""
    channels, side, _ = kernels.shape
    half = range(-((side - 1) // 2), side // 2 + 1)
    low = total = 0.0
    for c in range(channels):
        for u in half:
            for v in half:
                value = sum(
                    kernels[c, i, j] * cmath.exp(-2j * math.pi * (u * i + v * j) / side)
                    for i in range(side)
                    for j in range(side)
                )
                total += abs(value) ** 2
                # sqrt((u/k)^2 + (v/k)^2) <= 1/4 in whole numbers.
                if 16 * (u * u + v * v) <= side * side:
                    low += abs(value) ** 2
    return low / total

"""The slow twin of the bounds of CNNs: every layer a dense matrix, every window a loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Vector = NDArray[np.float64]


@dataclass
class Matrix:
    """W z + b."""

    weight: Vector
    bias: Vector


@dataclass
class Windows:
    """The largest of each list of inputs."""

    entries: list[list[int]]


class Rectify:
    """max(0, z)."""


Layer = Matrix | Windows | Rectify


def layers_of(model: nn.Sequential, shape: tuple[int, ...]) -> list[Layer]:
    """Return a network's layers on flat inputs; each max pool before the ReLU in front of it."""
    layers: list[Layer] = []
    for module in model:
        size = int(np.prod(shape))
        with torch.no_grad():
            zero = module(torch.zeros(1, *shape, dtype=torch.float64))
        if isinstance(module, nn.MaxPool2d):
            window = Windows(_windows(module, shape, tuple(zero.shape[1:])))
            layers.insert(len(layers) - isinstance(layers[-1], Rectify), window)
        elif isinstance(module, nn.ReLU):
            layers.append(Rectify())
        elif not isinstance(module, nn.Flatten):
            units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
            with torch.no_grad():
                weight = (module(units) - zero).flatten(1).T
            layers.append(Matrix(weight.numpy(), zero.flatten().numpy()))
        shape = tuple(zero.shape[1:])
    return layers


def _windows(pool: nn.MaxPool2d, shape: tuple[int, ...], after: tuple[int, ...]) -> list[list[int]]:
    _, height, width = shape
    windows = []
    for channel in range(after[0]):
        for row in range(after[1]):
            for column in range(after[2]):
                inside = []
                for i in range(pool.kernel_size):
                    for j in range(pool.kernel_size):
                        y = row * pool.stride - pool.padding + i
                        x = column * pool.stride - pool.padding + j
                        if 0 <= y < height and 0 <= x < width:
                            inside.append((channel * height + y) * width + x)
                windows.append(inside)
    return windows


def slow_bound(
    layers: list[Layer],
    bounds: list[tuple[Vector, Vector]],
    centres: list[Vector],
    row: Vector,
) -> float:
    """Return a lower bound of row @ network on a box, one unit at a time.

    Args:
        layers: of the network.
        bounds: of the input and of what each layer returns, as far as they are known.
        centres: the same values at the centre of the box.
        row: coefficients.
    """
    constant = 0.0
    for number in reversed(range(len(layers))):
        layer = layers[number]
        low, high = bounds[number]
        if isinstance(layer, Matrix):
            constant += float(row @ layer.bias)
            row = row @ layer.weight
            continue
        before = np.zeros(len(low))
        for unit, a in enumerate(row):
            if isinstance(layer, Rectify):
                slope, shift = _rectified(low[unit], high[unit], a)
                entry = unit
            else:
                window = layer.entries[unit]
                entry = max(window, key=lambda i: centres[number][i])
                others = max([high[i] for i in window if i != entry], default=-np.inf)
                slope, shift = _largest(low[entry], high[entry], others, a)
            before[entry] += a * slope
            constant += a * shift
        row = before
    low, high = bounds[0]
    ends = zip(row, low, high, strict=True)
    return constant + float(sum(min(a * lo, a * hi) for a, lo, hi in ends))


def _rectified(low: float, high: float, a: float) -> tuple[float, float]:
    if low >= 0:
        return 1.0, 0.0
    if high <= 0:
        return 0.0, 0.0
    if a > 0:
        return (1.0 if high > -low else 0.0), 0.0
    return high / (high - low), -low * high / (high - low)


def _largest(low: float, high: float, others: float, a: float) -> tuple[float, float]:
    if a > 0:
        return 1.0, 0.0
    least = max(low, others)
    slope = max(high - least, 0.0) / (high - low)
    return slope, least - slope * low

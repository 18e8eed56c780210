"""The slow twins of the certificate: dense matrices and loops, and the exact answer."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

Matrix = NDArray[np.float64]
Layers = list[tuple[Matrix, Matrix]]
"""Weights and biases of a network of linear layers with a ReLU between each two."""


def slow_intervals(layers: Layers, low: Matrix, high: Matrix) -> list[tuple[Matrix, Matrix]]:
    """Return the bounds before each ReLU, by intervals, one unit at a time."""
    bounds = []
    for number, (weight, bias) in enumerate(layers):
        if number:
            low, high = np.maximum(low, 0), np.maximum(high, 0)
        below = [
            b + sum(w * (lo if w > 0 else hi) for w, lo, hi in zip(row, low, high, strict=True))
            for row, b in zip(weight, bias, strict=True)
        ]
        above = [
            b + sum(w * (hi if w > 0 else lo) for w, lo, hi in zip(row, low, high, strict=True))
            for row, b in zip(weight, bias, strict=True)
        ]
        low, high = np.array(below), np.array(above)
        bounds.append((low, high))
    return bounds


def slow_lower_bound(
    layers: Layers,
    bounds: list[tuple[Matrix, Matrix]],
    low: Matrix,
    high: Matrix,
    row: Matrix,
    slopes: list[Matrix] | None = None,
    multipliers: list[Matrix] | None = None,
) -> float:
    """Return a lower bound of row @ network by backward relaxation, one unit at a time."""
    constant = 0.0
    for number in reversed(range(len(layers))):
        weight, bias = layers[number]
        constant += float(row @ bias)
        row = row @ weight
        if not number:
            break
        for unit, (lo, hi) in enumerate(zip(*bounds[number - 1], strict=True)):
            if hi <= 0:
                row[unit] = 0.0
            elif lo < 0 and row[unit] < 0:
                constant -= row[unit] * hi / (hi - lo) * lo
                row[unit] *= hi / (hi - lo)
            elif lo < 0:
                slope = 1.0 if hi > -lo else 0.0
                row[unit] *= slopes[number - 1][unit] if slopes else slope
            if multipliers:
                row[unit] -= multipliers[number - 1][unit]
    ends = zip(row, low, high, strict=True)
    return constant + float(sum(min(a * lo, a * hi) for a, lo, hi in ends))


def slow_tightened(layers: Layers, low: Matrix, high: Matrix) -> list[tuple[Matrix, Matrix]]:
    """Return the bounds before each ReLU, every undecided unit bounded by backward relaxation."""
    bounds: list[tuple[Matrix, Matrix]] = []
    for number in range(len(layers)):
        prefix = layers[: number + 1]
        below, above = (np.maximum(b, 0) for b in bounds[-1]) if number else (low, high)
        lo, hi = slow_intervals(prefix[-1:], below, above)[0]
        if 0 < number < len(layers) - 1:
            for unit in np.flatnonzero((lo < 0) & (hi > 0)):
                row = np.eye(len(lo))[unit]
                lo[unit] = max(lo[unit], slow_lower_bound(prefix, bounds, low, high, row))
                hi[unit] = min(hi[unit], -slow_lower_bound(prefix, bounds, low, high, -row))
        bounds.append((lo, hi))
    return bounds


def exact_minimum(layers: Layers, low: Matrix, high: Matrix, row: Matrix) -> float:
    """Return the minimum of row @ network over the box: one linear program per ReLU pattern."""
    widths = [len(bias) for _, bias in layers[:-1]]
    least = float("inf")
    for pattern in product((0.0, 1.0), repeat=sum(widths)):
        signs = np.split(np.array(pattern), np.cumsum(widths)[:-1])
        weight, bias = np.eye(len(low)), np.zeros(len(low))
        rows, limits = [], []
        for (w, b), on in zip(layers[:-1], signs, strict=True):
            weight, bias = w @ weight, w @ bias + b
            side = np.where(on > 0, -1.0, 1.0)
            rows.append(side[:, None] * weight)
            limits.append(-side * bias)
            weight, bias = on[:, None] * weight, on * bias
        w, b = layers[-1]
        cost, constant = row @ w @ weight, float(row @ (w @ bias + b))
        box = list(zip(low, high, strict=True))
        solved = linprog(cost, A_ub=np.vstack(rows), b_ub=np.concatenate(limits), bounds=box)
        if solved.success:
            least = min(least, float(solved.fun) + constant)
    return least

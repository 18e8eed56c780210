"""The slow, obvious twins of the capacity measures: every size tried, every partition averaged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence


def last_that_holds(holds: Callable[[int], bool], size: int) -> int:
    """Ask everywhere, and return the last index that holds; -1 if none does."""
    return max((index for index in range(size) if holds(index)), default=-1)


def rising_fit(values: Sequence[float]) -> list[float]:
    """Return the non-decreasing sequence nearest to the values, by trying all ways to cut them."""
    best: tuple[float, list[float]] = (math.inf, [])
    for cuts in itertools.product((False, True), repeat=len(values) - 1):
        blocks: list[list[float]] = [[values[0]]]
        for value, cut in zip(values[1:], cuts, strict=True):
            if cut:
                blocks.append([value])
            else:
                blocks[-1].append(value)
        means = [sum(block) / len(block) for block in blocks]
        if any(a > b for a, b in itertools.pairwise(means)):
            continue
        fit = [mean for block, mean in zip(blocks, means, strict=True) for _ in block]
        squares = sum((f - v) ** 2 for f, v in zip(fit, values, strict=True))
        if squares < best[0]:
            best = (squares, fit)
    return best[1]


def sufficient_width(widths: Sequence[float], accuracy: Sequence[float], margin: float) -> float:
    """Return where the rising fit first comes within the margin of its end, on fine steps."""
    fit, steps = rising_fit(accuracy), 1000
    first, last = math.log(widths[0]), math.log(widths[-1])
    for step in range(steps + 1):
        at = first + (last - first) * step / steps
        if interpolated([math.log(width) for width in widths], fit, at) >= fit[-1] - margin - 1e-12:
            return math.exp(at)
    return widths[-1]


def interpolated(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """Return y at a place between two x."""
    for (left, low), (right, high) in itertools.pairwise(zip(x, y, strict=True)):
        if left <= at <= right:
            return low + (high - low) * (at - left) / (right - left)
    return y[-1]

"""The search for the last of an ascending grid at which something still holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Search:
    """How far a bisection has come.

    Attributes:
        asked: indices into the grid, in the order in which they are asked.
        last: the last index that holds; -1 if none does; None while an answer is missing.
    """

    asked: tuple[int, ...]
    last: int | None


def bisect(holds: Callable[[int], bool | None], size: int) -> Search:
    """Search a grid for the last index that holds, by halving.

    Formula: what holds at i is taken to hold at all j < i. Of a grid of 2^m - 1 every search asks
    for exactly m. Where that is not so, the answer is one at which "holds" turns into "holds not".

    Args:
        holds: the answer at an index; None if there is none (yet).
        size: of the grid.
    """
    low, high = -1, size
    asked: list[int] = []
    while high - low > 1:
        middle = (low + high) // 2
        asked.append(middle)
        answer = holds(middle)
        if answer is None:
            return Search(tuple(asked), None)
        low, high = (middle, high) if answer else (low, middle)
    return Search(tuple(asked), low)


def bisection_grid(smallest: int, largest: int, rounds: int) -> tuple[int, ...]:
    """Return the 2^rounds - 1 whole numbers, evenly in their log, that so many rounds can tell.

    Args:
        smallest: the first.
        largest: the last; far enough from the first that no two are the same.
        rounds: of a bisection; at least 2.
    """
    spaced = np.geomspace(smallest, largest, 2**rounds - 1)
    return tuple(round(float(value)) for value in spaced)

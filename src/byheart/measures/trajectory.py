"""Walking a trajectory backwards without keeping all of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

State = TypeVar("State")


class Trajectory(Generic[State]):
    """States 0..length of a deterministic process, held in memory of order sqrt(length).

    Every ceil(sqrt(length))-th state is kept; what lies between two of them is computed again
    when the walk backwards reaches it, so that each step is taken at most twice.
    """

    def __init__(
        self,
        start: State,
        step: Callable[[int, State], State],
        length: int,
        *,
        stride: int | None = None,
    ) -> None:
        """Run the process once.

        Args:
            start: state 0.
            step: ``step(t, state)`` returns state t + 1 from state t, a new object.
            length: number of steps.
            stride: keep every so manieth state; 1 keeps all of them, and takes each step once.
        """
        self._step = step
        self._length = length
        self._stride = stride or max(1, math.ceil(math.sqrt(length)))
        self._kept = [start]
        state = start
        last = length - length % self._stride  # no state beyond the last one kept is needed yet
        for t in range(last):
            state = step(t, state)
            if (t + 1) % self._stride == 0:
                self._kept.append(state)

    def backwards(self) -> Iterator[tuple[int, State]]:
        """Yield (t, state t) for t = length..0. A walk consumes the states: take one only."""
        end = self._length
        while self._kept:
            segment = [self._kept.pop()]
            first = len(self._kept) * self._stride
            for t in range(first, end):
                segment.append(self._step(t, segment[-1]))
            while segment:
                yield first + len(segment) - 1, segment.pop()
            end = first - 1

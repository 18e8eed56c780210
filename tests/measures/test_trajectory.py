from __future__ import annotations

import math
import weakref
from typing import ClassVar

import pytest

from byheart.measures.trajectory import Trajectory

LENGTHS = [0, 1, 2, 3, 4, 5, 8, 9, 10, 50, 99, 100, 101, 1000]


class State:
    """A number that knows how many of its kind are held in memory."""

    held: ClassVar[weakref.WeakSet[State]] = weakref.WeakSet()

    def __init__(self, value: int) -> None:
        self.value = value
        State.held.add(self)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_state_comes_by_once_last_first(length: int) -> None:
    def step(t: int, state: int) -> int:
        assert state == t * (t - 1) // 2
        return state + t

    walk = list(Trajectory(0, step, length).backwards())
    assert walk == [(t, t * (t - 1) // 2) for t in range(length, -1, -1)]


@pytest.mark.parametrize("length", LENGTHS)
def test_no_step_is_taken_more_than_twice(length: int) -> None:
    taken = [0] * length

    def step(t: int, state: int) -> int:
        taken[t] += 1
        return state

    list(Trajectory(0, step, length).backwards())
    assert all(1 <= count <= 2 for count in taken)


@pytest.mark.parametrize("length", [100, 10_000])
def test_the_states_held_grow_as_the_square_root_of_the_length(length: int) -> None:
    most = 0

    def step(t: int, state: State) -> State:
        nonlocal most
        after = State(state.value + 1)
        most = max(most, len(State.held))
        return after

    for t, state in Trajectory(State(0), step, length).backwards():
        assert state.value == t
    assert most <= 2 * math.isqrt(length) + 3

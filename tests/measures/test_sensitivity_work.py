"""How much work a sweep does: counted, since seconds depend on the machine."""

from __future__ import annotations

import math
import weakref
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from byheart.measures import unrolled
from byheart.measures.mlp_sgd import MlpSgd, mlp_sgd
from byheart.measures.sensitivity import shuffled_batches
from byheart.measures.unrolled import PlainSgd, Trajectory, input_gradients
from byheart.networks.mlp import ReplicatedMLP

SIZES = (12, 6, 5, 3)
N, BATCH = 40, 8
PRODUCTS = {"mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_"}


class Counter(TorchDispatchMode):
    """Counts operators, and the arithmetic of matrix products, in place or not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        if func.overloadpacket.__name__ in PRODUCTS:
            left, right = [a for a in args if isinstance(a, Tensor)][-2:]
            self.flops += 2 * left.numel() * right.shape[-1]
        return func(*args, **(kwargs or {}))


def sgd(updates: int) -> MlpSgd:
    draw = torch.Generator().manual_seed(0)
    model = ReplicatedMLP.initialised(SIZES, [0]).module(0)
    x = torch.rand(N, SIZES[0], generator=draw)
    y = torch.randint(0, SIZES[-1], (N,), generator=draw)
    run = mlp_sgd(model, PlainSgd(model, x, y, shuffled_batches(N, BATCH, updates), 0.1))
    assert run is not None
    return run


def counted(updates: int, times: list[int]) -> Counter:
    with Counter() as counter:
        input_gradients(sgd(updates), times)
    return counter


def test_an_update_takes_few_operators_there_and_back() -> None:
    """Small networks wait for operators to start: an update takes 64, by autograd 363."""
    few, many = (counted(updates, [updates]).calls for updates in (50, 150))
    assert (many - few) / 100 <= 70


def test_the_operators_of_an_update_do_not_grow_with_the_adjoints_that_pass() -> None:
    one = counted(100, [100]).calls
    many = counted(100, list(range(91, 101))).calls
    assert many - one <= 9 * 150


def test_each_adjoint_costs_the_products_that_the_plan_counts() -> None:
    """12 W - 4 W_1 an update and example; an adjoint more is born from 6 W an example."""
    first, weights = 12 * 6, 12 * 6 + 6 * 5 + 5 * 3
    more = counted(20, [10, 20]).flops - counted(20, [20]).flops
    assert more == 10 * BATCH * (12 * weights - 4 * first) + N * 6 * weights


def test_the_passes_of_training_serve_the_way_back() -> None:
    """Training and the way back of one adjoint: nothing is computed a second time."""
    first, weights = 12 * 6, 12 * 6 + 6 * 5 + 5 * 3
    training = 6 * weights - 2 * first
    back = 12 * weights - 4 * first
    assert counted(20, [20]).flops == 20 * BATCH * (training + back) + N * 6 * weights


@pytest.mark.parametrize(("kept", "most"), [(unrolled.MAX_STORED_BYTES, 100), (0, 200)])
def test_no_update_is_trained_more_often_than_memory_asks(
    kept: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unrolled, "MAX_STORED_BYTES", kept)
    run, taken = sgd(100), 0
    step = run.step

    def counting(s: int, theta: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal taken
        taken += 1
        return step(s, theta)

    monkeypatch.setattr(run, "step", counting)
    found = input_gradients(run, [50, 100])
    assert taken <= most
    monkeypatch.undo()
    torch.testing.assert_close(found, input_gradients(sgd(100), [50, 100]), rtol=1e-4, atol=1e-7)


LENGTHS = [0, 1, 2, 3, 4, 5, 8, 9, 10, 50, 99, 100, 101, 1000]


class State:
    """A number that knows how many of its kind are held in memory."""

    held: ClassVar[weakref.WeakSet[State]] = weakref.WeakSet()

    def __init__(self, value: int) -> None:
        self.value = value
        State.held.add(self)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_state_comes_by_once_last_first_and_no_step_is_taken_thrice(length: int) -> None:
    taken = [0] * length

    def step(t: int, state: int) -> int:
        taken[t] += 1
        return state + t

    walk = list(Trajectory(0, step, length).backwards())
    assert walk == [(t, t * (t - 1) // 2) for t in range(length, -1, -1)]
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

from __future__ import annotations

import pytest
import torch
from tests.measures.networks import data, mlp
from tests.measures.test_sharpness import Steps
from tests.reference.hessian import dense_hessian, largest
from torch import nn

import byheart
from byheart.errors import InputError


@pytest.mark.parametrize("seed", [0, 1])
def test_with_all_examples_at_once_the_estimate_converges_to_the_exact_value(seed: int) -> None:
    (x, y), model = data(40, 5), mlp(nn.Tanh, seed=1)
    exact = largest(dense_hessian(model, x, y))
    found = byheart.online_sharpness(
        model, x, y, batch_size=40, gamma=0.3, alpha=1e-5, iterations=400, seed=seed
    )
    assert found.eigenvalue == pytest.approx(exact, rel=1e-3)
    assert found.history.shape == (400,)
    assert float(found.history[-1]) == found.eigenvalue


def test_from_a_few_examples_at_a_time_it_comes_near_the_exact_value() -> None:
    (x, y), model = data(40, 5), mlp(nn.Tanh, seed=1)
    exact = largest(dense_hessian(model, x, y))
    found = byheart.online_sharpness(model, x, y, batch_size=8, iterations=1500)
    assert found.eigenvalue == pytest.approx(exact, rel=0.1)


def test_its_limit_is_the_largest_positive_eigenvalue() -> None:
    # The Hessian is diag(1, -1.5, ...): the exact measure keeps the negative one.
    x, y = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    model = Steps([-2.0, 3.0, 0.1])
    found = byheart.online_sharpness(model, x, y, batch_size=3, iterations=1000)
    assert found.eigenvalue == pytest.approx(1.0, rel=1e-3)
    assert byheart.sharpness(model, x, y).eigenvalue == pytest.approx(-1.5, rel=1e-3)


def test_a_flat_loss_gives_zero() -> None:
    model = nn.Linear(1, 2, bias=False).double()
    model.weight.data = torch.tensor([[1e4], [-1e4]], dtype=torch.float64)
    x, y = torch.ones(4, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    assert byheart.online_sharpness(model, x, y).eigenvalue == pytest.approx(0, abs=1e-9)


def test_the_same_call_gives_the_same_bits_and_leaves_the_random_state_alone() -> None:
    (x, y), model = data(40, 5), mlp()
    state = torch.random.get_rng_state()
    first = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8)
    again = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8)
    other = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8, seed=1)
    assert torch.equal(first.history, again.history)
    assert not torch.equal(first.history, other.history)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0.0}, "gamma must lie between 0 and 1"),
        ({"gamma": 1.0}, "gamma must lie between 0 and 1"),
        ({"alpha": 0.0}, "alpha must be a finite number above 0"),
        ({"alpha": float("inf")}, "alpha must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be 1 or more"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.online_sharpness(mlp(), *data(10, 5), **settings)

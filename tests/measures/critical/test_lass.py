from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.plain_training import plain_module
from tests.reference.search import slow_search

from byheart.measures.critical.lass import Box, SharedNoise, lass, margin, verified
from byheart.networks.mlp import ReplicatedMLP

SIZES = (6, 10, 8, 4)
SETTINGS = {"step": 0.05, "noise": 0.04, "max_steps": 15}


def inputs(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, SIZES[0], generator=generator, dtype=torch.float64)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def noise(x: torch.Tensor) -> SharedNoise:
    """Return the noise of inputs [R, N, D]."""
    return SharedNoise(rng(), x[0])


@pytest.mark.parametrize("radius", [0.02, 0.08, 0.3])
def test_a_pack_search_equals_the_slow_search_of_each_network(radius: float) -> None:
    seeds = [1, 2, 3]
    network = ReplicatedMLP.initialised(SIZES, seeds, dtype=torch.float64)
    x = inputs(40)
    packed = x.expand(3, -1, -1)
    found = lass(network, packed, radius, draw=noise(packed), **SETTINGS)
    for replica, seed in enumerate(seeds):
        model = plain_module(SIZES, seed, torch.float64)
        slow = slow_search(model, x, radius, generator=rng(), **SETTINGS)
        assert found.found_at[replica].tolist() == slow
    assert bool((found.found_at > 1).any()), "the search was meant to need several steps"


def test_every_witness_lies_in_the_box_and_is_scored_again() -> None:
    network = ReplicatedMLP.initialised(SIZES, [1, 2])
    x = inputs(200).float().expand(2, -1, -1)
    radius = 0.1
    found = lass(network, x, radius, draw=noise(x), **SETTINGS)
    assert bool(((found.witness.double() - x.double()).abs() <= radius).all())
    assert torch.equal(verified(network, x, radius, found.witness), found.found_at >= 0)


def test_a_witness_that_a_faulty_search_put_outside_the_box_does_not_count() -> None:
    network = ReplicatedMLP.initialised(SIZES, [1])
    x = inputs(50).float().unsqueeze(0)
    tiny = 1e-9
    found = lass(network, x, 0.3, draw=noise(x), **SETTINGS)
    assert bool((found.found_at >= 0).any())
    assert not bool(verified(network, x, tiny, found.witness).any())


def test_settled_examples_are_not_searched() -> None:
    network = ReplicatedMLP.initialised(SIZES, [1, 2])
    x = inputs(30).float().expand(2, -1, -1)
    settled = torch.zeros(2, 30, dtype=torch.bool)
    settled[0, :20] = True
    free = lass(network, x, 0.3, draw=noise(x), **SETTINGS)
    found = lass(network, x, 0.3, draw=noise(x), settled=settled, **SETTINGS)
    assert (found.found_at[settled] == -1).all()
    assert torch.equal(found.found_at[~settled], free.found_at[~settled])
    assert torch.equal(found.witness[settled], x[settled])


def test_nothing_to_search_costs_no_step() -> None:
    network = ReplicatedMLP.initialised(SIZES, [1])
    x = inputs(3).float().unsqueeze(0)
    everything = torch.ones(1, 3, dtype=torch.bool)
    found = lass(network, x, 0.3, draw=noise(x), settled=everything, **SETTINGS)
    assert found.found_at.tolist() == [[-1, -1, -1]]


def test_the_margin_points_where_the_log_probability_does_without_its_underflow() -> None:
    logits = torch.tensor([[3.0, 1.0, -2.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    predicted = torch.tensor([0, 2])
    z = logits.clone().requires_grad_()
    (own,) = torch.autograd.grad(margin(z, predicted).sum(), z)
    log_probability = torch.log_softmax(z, -1).gather(-1, predicted[:, None]).sum()
    (reference,) = torch.autograd.grad(log_probability, z)
    other = 1 - torch.softmax(logits, -1).gather(-1, predicted[:, None])
    torch.testing.assert_close(own * other, reference)
    sure = torch.tensor([[400.0, 0.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(margin(sure, torch.tensor([0])).sum(), sure)
    assert gradient.tolist() == [[1.0, -0.5, -0.5]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=8),
    st.floats(1e-6, 10),
)
def test_rounding_never_pushes_the_bounds_out_of_the_box(values: list[float], r: float) -> None:
    x = torch.tensor([values], dtype=torch.float32)
    box = Box.around(x, r)
    for bound in (box.low, box.high):
        assert bool(((bound.double() - x.double()).abs() <= r).all())
    assert bool((box.low <= x).all())
    assert bool((x <= box.high).all())

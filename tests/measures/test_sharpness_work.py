"""How much work an eigenvalue takes: counted, since seconds depend on the machine."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import byheart
from byheart.data.dataset import Dataset
from byheart.measures.mlp_loss import without_idle_weights
from byheart.measures.modules import SingleNetwork, pack_of_one
from byheart.measures.training_loss import AutogradLoss, PackData
from byheart.networks.mlp import ReplicatedMLP

HIDDEN = 32


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return byheart.load_dataset("digits", size=300)


@pytest.fixture(scope="module")
def trained(digits: Dataset) -> list[nn.Module]:
    """Five networks that have learned the digits."""
    x, y = digits.x.flatten(1), digits.y
    models = []
    for seed in range(5):
        model = ReplicatedMLP.initialised((64, HIDDEN, HIDDEN, 10), [seed]).module(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        for epoch in range(30):
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
            for rows in order.split(20):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        models.append(model)
    return models


def test_an_eigenvalue_takes_few_products(trained: list[nn.Module], digits: Dataset) -> None:
    """8.0 on average; from a random start alone, 10. Power iteration takes dozens."""
    found = [byheart.sharpness(model, digits.x.flatten(1), digits.y) for model in trained]
    assert all(one.converged for one in found)
    assert sum(one.iterations for one in found) / len(found) <= 8.5


def test_pixels_that_are_always_dark_cost_nothing(
    trained: list[nn.Module], digits: Dataset
) -> None:
    x, y = digits.x.flatten(1), digits.y
    lit = int((x != 0).any(0).sum())
    network, data = without_idle_weights(*pack_of_one(trained[0], x, y, batch_size=1024))
    assert lit < 64
    assert network.weights[0].shape == (1, lit, HIDDEN)
    assert data.pool.shape == (300, lit)


class Wrapped(nn.Module):
    """A network of which nothing is known but that it can be differentiated."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x)


def test_any_other_network_is_run_forward_once_for_all_products(
    trained: list[nn.Module], digits: Dataset
) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    model = Wrapped(trained[0])
    model.register_forward_hook(count)
    found = byheart.sharpness(model, digits.x.flatten(1), digits.y)
    # Two to see that it is deterministic, one that its Hessian is symmetric, one for the gradient,
    # one that the products share.
    assert calls == 5 < found.iterations


def test_a_product_of_any_other_network_costs_one_and_a_half_gradients(
    trained: list[nn.Module], digits: Dataset
) -> None:
    data = PackData(digits.x.flatten(1), torch.arange(300)[None], digits.y[None])
    loss = AutogradLoss(SingleNetwork(Wrapped(trained[0])), data, chunk=1024)
    with FlopCounterMode(display=False) as gradient:
        loss.gradient()
    loss.product(loss.theta)
    with FlopCounterMode(display=False) as product:
        loss.product(loss.theta)
    assert product.get_total_flops() <= 1.6 * gradient.get_total_flops()

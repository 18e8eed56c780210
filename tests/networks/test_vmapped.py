"""Packs of a user's network, and hidden layers that can be perturbed while it trains."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.training.test_engine import USER_NETWORKS, foreign
from torch import nn

from byheart.data.sources import load_dataset
from byheart.measures.sharpness import pack_sharpness, sharpness
from byheart.measures.training_loss import PackData
from byheart.networks.build import build_pack
from byheart.networks.vmapped import PerturbedModule, hidden_units, noise_layers

SHAPE, CLASSES = (8, 8), 10


@pytest.mark.parametrize("name", USER_NETWORKS)
def test_a_replica_as_a_module_computes_what_it_does_in_the_pack(name: str) -> None:
    pack = build_pack(foreign(name), SHAPE, CLASSES, [4, 5, 6], dtype=torch.float64)
    assert type(pack) is USER_NETWORKS[name]
    x = torch.rand(7, *SHAPE, dtype=torch.float64)
    pack.training_logits(x.flatten(1).expand(3, 7, -1))
    chosen = pack.select(torch.tensor([2, 0]))
    for row, replica in enumerate((2, 0)):
        module = pack.module(replica)
        assert not module.training
        torch.testing.assert_close(pack(x.flatten(1))[replica], module(x))
        torch.testing.assert_close(chosen(x.flatten(1))[row], module(x))
        # A copy: whatever is done to it is not done to the pack.
        for parameter in module.parameters():
            parameter.data.zero_()
    assert pack.finite().all()
    assert float(pack(x.flatten(1)).abs().sum()) > 0


def test_what_is_no_longer_finite_is_named() -> None:
    pack = build_pack(foreign("convnet"), SHAPE, CLASSES, [0, 1, 2])
    pack.parameters()[0][1, 0] = float("nan")
    assert pack.finite().tolist() == [True, False, True]


def test_equal_seeds_give_equal_weights_and_others_give_others() -> None:
    before = torch.get_rng_state()
    first, second = (build_pack(foreign("mlp"), SHAPE, CLASSES, [0, 1]) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for weight, again in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(weight, again)
    weight = first.parameters()[0]
    assert not torch.equal(weight[0], weight[1])


@pytest.mark.parametrize("name", ["Scaled", "convnet", "Branching"])
def test_the_sharpness_of_a_pack_is_that_of_its_modules(name: str) -> None:
    digits = load_dataset("digits")
    pack = build_pack(foreign(name), SHAPE, CLASSES, [0, 1], dtype=torch.float64)
    x, y = digits.x[:20].double(), digits.y[:20]
    data = PackData(x.flatten(1), torch.arange(20).expand(2, -1), y.expand(2, -1))
    found = pack_sharpness(pack, data, tolerance=1e-6)
    for replica in range(2):
        alone = sharpness(pack.module(replica), x, y, tolerance=1e-6)
        assert float(found.eigenvalue[replica]) == pytest.approx(alone.eigenvalue, rel=1e-5)


class Reusing(nn.Module):
    """One activation layer that computes twice, as in many residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(4, 3), nn.Linear(3, 5), nn.Linear(5, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.last(self.relu(self.two(self.relu(self.one(x)))))


def test_a_layer_that_computes_twice_has_columns_for_both() -> None:
    units, why = hidden_units(Reusing(), torch.rand(6, 4))
    assert (units, why) == (3 + 5, "")


def test_only_training_is_perturbed() -> None:
    model = Reusing()
    perturbed = PerturbedModule(copy.deepcopy(model))
    x = torch.rand(6, 4)
    perturbed.shift, perturbed.scale = torch.ones(6, 8), 2 * torch.ones(6, 8)
    assert torch.equal(perturbed.eval()(x), model(x))
    h = 2 * (torch.relu(model.two(2 * (torch.relu(model.one(x)) + 1))) + 1)
    torch.testing.assert_close(perturbed.train()(x), model.last(h))


def test_a_copy_is_perturbed_by_its_own_buffers() -> None:
    one = PerturbedModule(Reusing()).train()
    other = copy.deepcopy(one)
    x = torch.rand(6, 4)
    before = other(x)
    one.shift, one.scale = torch.ones(6, 8), torch.ones(6, 8)
    assert torch.equal(other(x), before)
    assert not torch.equal(one(x), before)


def test_without_activation_layers_dropout_layers_are_the_places() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 2))
    assert noise_layers(model) == [model[1]]
    assert hidden_units(model, torch.rand(5, 4))[0] == 3


def test_a_network_without_either_says_what_to_do() -> None:
    units, why = hidden_units(nn.Linear(4, 2), torch.rand(5, 4))
    assert units == 0
    assert "make its activations modules" in why


def test_layers_that_see_something_else_than_examples_are_refused() -> None:
    class Transposing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.last = nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(self.relu(x.T).T)

    units, why = hidden_units(Transposing(), torch.rand(5, 4))
    assert units == 0
    assert "one row per example" in why

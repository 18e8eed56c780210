"""Hidden layers that can be disturbed while a network trains."""

from __future__ import annotations

import copy

import torch
from torch import nn

from byheart.networks.vmapped import Disturbed, hidden_units, places


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


def test_only_training_is_disturbed() -> None:
    model = Reusing()
    disturbed = Disturbed(copy.deepcopy(model))
    x = torch.rand(6, 4)
    disturbed.shift, disturbed.scale = torch.ones(6, 8), 2 * torch.ones(6, 8)
    assert torch.equal(disturbed.eval()(x), model(x))
    h = 2 * (torch.relu(model.two(2 * (torch.relu(model.one(x)) + 1))) + 1)
    torch.testing.assert_close(disturbed.train()(x), model.last(h))


def test_a_copy_is_disturbed_by_its_own_buffers() -> None:
    one = Disturbed(Reusing()).train()
    other = copy.deepcopy(one)
    x = torch.rand(6, 4)
    before = other(x)
    one.shift, one.scale = torch.ones(6, 8), torch.ones(6, 8)
    assert torch.equal(other(x), before)
    assert not torch.equal(one(x), before)


def test_without_activation_layers_dropout_layers_are_the_places() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 2))
    assert places(model) == [model[1]]
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

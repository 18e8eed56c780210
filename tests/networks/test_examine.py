"""What a user's network is found to be, before it is trained."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from byheart.errors import InputError
from byheart.networks.default import DefaultNetwork
from byheart.networks.examine import examine, fingerprint_of
from byheart.networks.foreign import initialised
from byheart.networks.size import size_of
from byheart.trial import MLP

OWN = "tests.networks.user_networks:"
SHAPE, CLASSES = (8, 8), 10


@pytest.mark.parametrize(
    ("name", "takes"),
    [("mlp", (8, 8)), ("Residual", (8, 8)), ("convnet", (1, 8, 8)), ("flat", (64,))],
)
def test_inputs_come_in_the_shape_that_the_network_takes(name: str, takes: tuple[int, ...]) -> None:
    assert examine(OWN + name, SHAPE, CLASSES).takes == takes


@pytest.mark.parametrize("name", ["mlp", "flat", "convnet", "Residual", "Averaging", "Tied"])
def test_replicas_train_together_where_vmap_computes_the_same(name: str) -> None:
    examined = examine(OWN + name, SHAPE, CLASSES)
    assert (examined.way, examined.reason) == ("vmap", "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Branching", "its control flow depends on the data"),
        ("dropping", "draws random numbers while it trains"),
        ("Projecting", "computes other numbers"),
    ],
)
def test_replicas_train_one_by_one_where_vmap_cannot_and_the_reason_is_said(
    name: str, reason: str
) -> None:
    examined = examine(OWN + name, SHAPE, CLASSES)
    assert examined.way == "one by one"
    assert reason in examined.reason


@pytest.mark.parametrize("name", ["a_pair", "a_loss_first", "a_dict", "a_model_output"])
def test_logits_are_taken_out_of_what_a_network_returns(name: str) -> None:
    examined = examine(OWN + name, SHAPE, CLASSES)
    modules = [initialised(OWN + name, seed) for seed in (0, 1)]
    pack = examined.pack.stacked(modules, takes=SHAPE, shape=SHAPE, seeds=(0, 1))
    x = torch.rand(5, 64)
    wanted = torch.stack([module.layers(x) for module in modules])
    torch.testing.assert_close(pack(x), wanted)
    torch.testing.assert_close(pack.module(1)(x.view(-1, *SHAPE)), wanted[1])


@pytest.mark.parametrize("name", ["pretrained", "pretrained_and_frozen"])
def test_a_pretrained_backbone_with_a_fresh_head_can_be_trained(name: str) -> None:
    examined = examine(OWN + name, SHAPE, CLASSES)
    assert examined.way == "vmap"
    body = 0 if name.endswith("frozen") else 65 * 12
    assert examined.size.parameters == body + 13 * 10


@pytest.mark.parametrize(
    ("name", "way"),
    [("large_convolutions", "one by one, channels last"), ("viewing", "one by one")],
)
def test_large_convolutions_train_one_by_one(name: str, way: str) -> None:
    examined = examine(OWN + name, (3, 16, 16), CLASSES)
    assert examined.way == way
    assert examined.reason.startswith("large convolutions are faster one by one")


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("images", (8, 8)), ("images", (3, 33, 40)), ("table", (7,)), ("text", (30,))],
)
def test_the_default_network_fits_its_data(kind: str, shape: tuple[int, ...]) -> None:
    network = DefaultNetwork(kind, shape, 4)
    assert examine(network, shape, 4).takes == shape
    assert str(network).startswith("a ")


def test_the_size_is_counted_as_for_a_network_of_ours() -> None:
    known = size_of(MLP(hidden=(12,)), SHAPE, CLASSES)
    found = examine(OWN + "mlp", SHAPE, CLASSES).size
    assert found.parameters == known.parameters
    assert found.products == known.products
    assert found.first_products == known.first_products
    assert known.activations <= found.activations <= 2 * known.activations


def test_a_convolution_counts_once_per_place() -> None:
    found = examine(OWN + "convnet", SHAPE, CLASSES).size
    assert found.parameters == 4 * 9 + 4 + 2 * 4 + 64 * 10 + 10
    assert found.products == 64 * 4 * 9 + 64 * 10
    assert found.first_products == 64 * 4 * 9


def test_what_is_frozen_is_not_counted_as_trained() -> None:
    assert examine(OWN + "frozen", SHAPE, CLASSES).size.parameters == 12 * 10 + 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too_few_outputs", r"maps \[N, 8, 8\] to \[N, 7\].*must return \[N, 10\]"),
        ("of_another_shape", r"does not take \[N, 8, 8\]: RuntimeError.*the data are \[N, 8, 8\]"),
        ("a_word", r"returns a str.*not a tensor of logits"),
        ("returns_nan", "returns NaN or infinity"),
        ("noisy_in_eval", "not deterministic in eval mode.*self.training"),
        ("noise_of_python", "cannot repeat its noise in train mode"),
        ("fails_in_training", "fails in train mode: RuntimeError: no auxiliary head$"),
        ("no_parameters", "no parameters to train"),
        ("nothing_trained", "no parameters to train"),
        ("the_same_object", "two calls returned the same object"),
        ("the_same_backbone", "or networks that share weights"),
        ("the_same_weights", "the same initial weights, whatever the seed"),
        ("weights_of_numpy", "differ from call to call though torch.manual_seed was the same"),
        ("of_changing_width", "different layers or shapes"),
        ("lazy", "lazy layers: give every layer its sizes"),
        ("wants_an_argument", "called without arguments, and raised TypeError"),
        ("returns_a_number", "returned a int, not a torch.nn.Module"),
        ("not_callable", "not a callable"),
        ("mpl", "did you mean 'mlp'"),
    ],
)
def test_what_cannot_be_trained_is_one_line_that_says_what_would_be_right(
    name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        examine(OWN + name, SHAPE, CLASSES)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_fingerprint_knows_layers_and_their_settings_but_not_weights() -> None:
    def network(rate: float, units: int = 4) -> nn.Module:
        return nn.Sequential(nn.Linear(8, units), nn.Dropout(rate), nn.Linear(units, 2))

    one = fingerprint_of(network(0.5))
    assert fingerprint_of(network(0.5)) == one
    assert fingerprint_of(network(0.1)) != one
    assert fingerprint_of(network(0.5, units=5)) != one


CLASS = """
from torch import nn

class Network(nn.Linear):
    def forward(self, x):
        return {} * super().forward(x)
"""


def test_a_changed_forward_is_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    prints = []
    for name, factor in (("own_forward", 1), ("own_forward_again", 1), ("own_forward_changed", 2)):
        (tmp_path / f"{name}.py").write_text(CLASS.format(factor))
        prints.append(fingerprint_of(importlib.import_module(name).Network(2, 2)))
    assert prints[0] == prints[1] != prints[2]

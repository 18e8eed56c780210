"""What is certified, what is not, and which networks are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.measures.networks import trained
from torch import nn

import byheart
from byheart.measures.critical.arithmetic import Arithmetic, gamma
from byheart.measures.critical.certificate import certificate


def linear(weight: torch.Tensor) -> nn.Linear:
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False).to(weight)
    model.weight.data = weight
    return model


def certified(model: nn.Module, x: torch.Tensor, radius: float) -> torch.Tensor:
    return certificate(model.eval(), x, model(x).argmax(-1), radius).certified


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0.002, 0.01, 0.05])
def test_certificate_and_search_meet_on_linear_networks(dtype: torch.dtype, radius: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 20, generator=generator, dtype=dtype)
    x = torch.rand(500, 20, generator=generator, dtype=dtype)
    found = byheart.critical_samples(
        linear(weight), x, radius=radius, step=radius, noise=0.0, max_steps=5
    )
    w = weight[1] - weight[0]
    truth = (x @ w).abs() < radius * w.abs().sum()
    assert 0 < int(truth.sum()) < 500
    assert torch.equal(found.critical, truth)
    assert torch.equal(found.certified, ~truth)
    assert found.lower == found.upper
    assert found.uncertified_layer is None


def test_many_classes_are_each_compared_with_the_predicted_one() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 12, generator=generator, dtype=torch.float64)
    x = torch.rand(300, 12, generator=generator, dtype=torch.float64)
    logits = x @ weight.T
    predicted = logits.argmax(1)
    margins = logits.gather(1, predicted[:, None]) - logits
    reach = 0.03 * (weight[predicted][:, None] - weight).abs().sum(2)
    truth = (margins < reach).any(1)
    assert 0 < int(truth.sum()) < 300
    assert torch.equal(certified(linear(weight), x, 0.03), ~truth)


def test_equal_scores_are_never_certified() -> None:
    model = linear(torch.ones(2, 3))
    assert not certified(model, torch.rand(5, 3), 0.0).any()
    assert not certified(nn.Sequential(model, nn.ReLU()), torch.rand(5, 3), 0.0).any()


def test_a_margin_within_rounding_of_the_model_is_not_certified() -> None:
    weight = torch.tensor([[1.0, 1.0], [1.0, 1.0 - 2.0**-23]])
    x = torch.full((1, 2), 0.5)
    exact = linear(weight.double())
    assert certified(exact, x.double(), 0.0).all()
    assert not certified(linear(weight), x, 0.0).any()


def test_one_class_is_never_left() -> None:
    assert certified(linear(torch.ones(1, 3)), torch.rand(5, 3), 0.1).all()


def test_numbers_that_may_overflow_are_not_certified() -> None:
    weight = torch.eye(2) * 3e38
    model = nn.Sequential(linear(weight), nn.Linear(2, 2))
    model[1].weight.data = torch.tensor([[1e-38, 0.0], [0.0, 1e-38]])
    model[1].bias.data.zero_()
    x = torch.tensor([[1.0, 0.0]])
    assert not certified(model, x, 0.01).any()
    assert certified(model.double(), x.double(), 0.01).all()


def test_certified_samples_are_not_searched_and_the_others_searched_alike() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    x = torch.rand(300, 8, 8)
    settings = {"radius": 0.004, "step": 0.002, "noise": 0.002, "max_steps": 10, "batch_size": 128}
    settings |= {"control": True}
    proved = byheart.critical_samples(model, x, **settings)
    searched = byheart.critical_samples(model, x, certify=False, **settings)
    assert 0.0 < proved.lower <= proved.upper < 1.0
    assert bool((proved.critical >= searched.critical).all())
    assert torch.equal(proved.found_at, searched.found_at)
    assert torch.equal(proved.success, searched.success)
    assert proved.control == searched.control
    assert not (proved.certified & searched.critical).any()
    assert searched.upper == 1.0
    assert not searched.certified.any()


class Doubled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(input)


def hooked() -> nn.Linear:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, inputs, output: -output)
    return layer


def patched() -> nn.Linear:
    layer = nn.Linear(4, 4)
    layer.forward = lambda x: -x
    return layer


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.Softsign(), "1.0 (Softsign)"),
        (Doubled(4, 4), "1.0 (Doubled)"),
        (nn.BatchNorm1d(4, track_running_stats=False), "1.0 (BatchNorm1d)"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), "1.0 (ParametrizedLinear)"),
        (hooked(), "1.0 (Linear) with a hook or a patched forward"),
        (patched(), "1.0 (Linear) with a hook or a patched forward"),
    ],
)
def test_a_layer_without_a_certificate_is_named(layer: nn.Module, name: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer, nn.ReLU()), nn.Linear(4, 3))
    found = byheart.critical_samples(model, torch.rand(6, 4), radius=0.0, max_steps=1)
    assert found.uncertified_layer == name
    assert not found.certified.any()
    assert found.upper == 1.0


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_whose_forward_cannot_be_followed_is_named() -> None:
    for model, name in (
        (Branching(), "Branching whose forward cannot be traced"),
        (
            nn.Sequential(nn.Linear(4, 4), Branching()),
            "1 (Branching) whose forward cannot be traced",
        ),
    ):
        found = byheart.critical_samples(model, torch.rand(6, 4), radius=0.0, max_steps=1)
        assert found.uncertified_layer == name


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, divisor_override=3)]
)
def test_a_setting_without_a_certificate_names_its_layer(pool: nn.Module) -> None:
    model = nn.Sequential(pool, nn.Flatten())
    found = byheart.critical_samples(model, torch.rand(2, 1, 4, 4), radius=0.0, max_steps=1)
    assert found.uncertified_layer == f"0 ({type(pool).__name__})"


def test_a_layer_used_twice_counts_twice() -> None:
    flip = nn.Linear(2, 2, bias=False)
    flip.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]]) * 3.0
    x = torch.tensor([[0.9, 0.1], [0.55, 0.5], [0.1, 0.9]])
    assert certified(nn.Sequential(flip, nn.ReLU(), flip), x, 0.1).tolist() == [True, False, True]


def test_inputs_and_model_are_left_as_they_were() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    x = torch.randn(5, 1, 4, 4)
    kept, state = x.clone(), {name: v.clone() for name, v in model.state_dict().items()}
    byheart.measures.critical.certificate.certificate(
        model, x, torch.zeros(5, dtype=torch.int64), 0.1
    )
    assert torch.equal(x, kept)
    assert all(torch.equal(state[name], v) for name, v in model.state_dict().items())
    assert model[1].bias is not None
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_slack_follows_the_coarsest_format_in_play() -> None:
    x, model = torch.rand(1, 4), nn.Linear(4, 2)
    single = Arithmetic.of(model, x).unit
    assert single == torch.finfo(torch.float32).eps / 2
    assert Arithmetic.of(model.double(), x.double()).unit < single
    assert Arithmetic.of(model.half(), x).unit == torch.finfo(torch.float16).eps
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Arithmetic.of(model.float(), x).unit == torch.finfo(torch.bfloat16).eps


def test_the_slack_covers_what_single_precision_does() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, z = torch.randn(50, 4000, generator=generator), torch.rand(20, 4000)
    off = (z @ weight.T).double() - z.double() @ weight.double().T
    bound = gamma(4000, torch.finfo(torch.float32).eps / 2) * (z.double() @ weight.double().abs().T)
    assert bool((off.abs() <= bound).all())
    assert gamma(2**30, 2.0**-23) == float("inf")


@pytest.mark.mnist
@pytest.mark.slow
def test_the_bracket_is_narrow_on_real_digits(
    mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYHEART_DATA", str(mnist_root))
    digits = byheart.load_dataset("mnist", size=1500, seed=0)
    x, y, validation = digits.x[:1000], digits.y[:1000], digits.x[1000:]
    size = {"hidden": 256, "epochs": 25, "seed": 1}
    real = byheart.critical_samples(trained(x, y, **size), validation)
    assert real.upper - real.lower <= 0.01
    random = torch.randint(10, (1000,), generator=torch.Generator().manual_seed(1))
    memorized = byheart.critical_samples(trained(x, random, **size), validation)
    # The gap between the two networks stands whatever the undecided samples are.
    assert real.upper < memorized.lower
    assert memorized.upper - memorized.lower <= 0.03

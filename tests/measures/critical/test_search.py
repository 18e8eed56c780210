from __future__ import annotations

import pytest
import torch
from torch import nn

import byheart
from byheart.errors import InputError


def linear(weight: torch.Tensor) -> nn.Linear:
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False).to(weight)
    model.weight.data = weight
    return model


def truth(weight: torch.Tensor, x: torch.Tensor, radius: float) -> torch.Tensor:
    """Return which samples are critical for two linear scores: |margin| < r ||w1 - w0||_1."""
    w = weight[1] - weight[0]
    return (x @ w).abs() < radius * w.abs().sum()


@pytest.mark.parametrize("radius", [0.01, 0.05, 0.2])
def test_the_search_finds_exactly_the_critical_samples_of_a_linear_network(radius: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 20, generator=generator, dtype=torch.float64)
    x = torch.rand(500, 20, generator=generator, dtype=torch.float64)
    found = byheart.critical_samples(
        linear(weight), x, radius=radius, step=radius, noise=0.0, max_steps=5
    )
    expected = truth(weight, x, radius)
    assert 0 < int(expected.sum()) < 500
    assert torch.equal(found.critical, expected)
    assert found.lower == float(expected.double().mean())


class Noisy(nn.Module):
    """A classifier that is random in train mode and whose parts stand in different modes."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.BatchNorm1d(4).eval()
        self.dropout = nn.Dropout(0.9)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.frozen(x)))


def test_every_submodule_gets_its_own_mode_back() -> None:
    model = Noisy()
    before = {name: module.training for name, module in model.named_modules()}
    byheart.critical_samples(model, torch.rand(10, 4), radius=0.0, max_steps=3)
    assert {name: module.training for name, module in model.named_modules()} == before
    assert before["dropout"]
    assert not before["frozen"]


def test_dropout_noise_is_not_counted_as_critical() -> None:
    torch.manual_seed(0)
    found = byheart.critical_samples(Noisy(), torch.rand(50, 4), radius=1e-7, max_steps=20)
    assert found.lower == 0.0


def test_modes_come_back_after_an_error() -> None:
    class Broken(Noisy):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum()

    model = Broken()
    with pytest.raises(InputError, match=r"\[N, classes\]"):
        byheart.critical_samples(model, torch.rand(10, 4))
    assert model.dropout.training


def test_neither_parameters_nor_the_global_random_state_are_touched() -> None:
    model = Noisy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    byheart.critical_samples(model, torch.rand(10, 4, generator=torch.Generator()), radius=0.1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_equal_seeds_give_equal_results() -> None:
    model, x = Noisy(), torch.rand(60, 4)
    one, same = (
        byheart.critical_samples(model, x, radius=0.2, step=0.02, noise=0.05, control=True, seed=1)
        for _ in range(2)
    )
    assert torch.equal(one.witness, same.witness)
    assert one.control == same.control


def folded() -> tuple[nn.Sequential, torch.Tensor]:
    """Return a network with a rival in a direction that no gradient on the way shows, and inputs.

    The rival's score is |x_1| - 1/2 on top of a slope that leads away from it.
    """
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
        model[0].bias.copy_(torch.tensor([10.0, -0.4, -10.0]))
        model[2].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.9, 3.0, 0.0]]))
        model[2].bias.copy_(torch.tensor([0.0, 0.8]))
    return model, torch.zeros(20, 1)


def test_the_noise_of_the_search_depends_on_its_seed() -> None:
    # The slope leads down to where the class stays; the rival waits uphill, and noise gets there.
    model, x = folded()
    found = [
        byheart.critical_samples(
            model, x, radius=0.6, step=0.05, noise=0.3, max_steps=40, certify=False, seed=seed
        )
        for seed in (1, 1, 2)
    ]
    assert bool((found[0].found_at > 0).any())
    assert torch.equal(found[0].found_at, found[1].found_at)
    assert not torch.equal(found[0].found_at, found[2].found_at)


def test_the_success_curve_ends_at_what_the_search_found_and_the_control_finds_no_more() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    x = torch.rand(300, 8, 8)
    found = byheart.critical_samples(
        model,
        x,
        radius=0.02,
        step=0.01,
        noise=0.005,
        max_steps=10,
        control=True,
        batch_size=128,
    )
    assert found.success[0] == float((found.found_at == 0).double().mean())
    assert bool((found.success.diff() >= 0).all())
    by_search = float((found.found_at >= 0).double().mean())
    assert float(found.success[-1]) == by_search <= found.lower
    assert 0.0 <= found.control <= by_search
    inside = (found.witness.double() - x.double()).abs() <= 0.02
    assert bool(inside.all())
    assert torch.equal(found.witness[~found.critical], x[~found.critical])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": -0.1}, "radius must be"),
        ({"radius": float("nan")}, "radius must be"),
        ({"noise": float("inf")}, "noise must be"),
        ({"max_steps": 0}, "max_steps must be 1"),
        ({"splits": -1}, "splits must be 0"),
        ({"radius": 1.1}, "scale of the inputs, which span 1, got 1.1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.critical_samples(Noisy(), torch.rand(5, 4), **settings)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(0, 4), "N >= 1"),
        (torch.zeros(3, 4, dtype=torch.int64), "floating-point"),
        (torch.full((3, 4), float("nan")), "not finite"),
    ],
)
def test_unusable_inputs_are_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.critical_samples(Noisy(), x)


def test_a_network_with_broken_weights_is_refused() -> None:
    model = Noisy()
    model.head.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="logits that are not finite"):
        byheart.critical_samples(model, torch.rand(5, 4))


def test_a_network_that_answers_differently_when_asked_again_is_refused() -> None:
    class Random(Noisy):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.randn(len(x), 3)

    with pytest.raises(InputError, match="not deterministic in eval mode"):
        byheart.critical_samples(Random(), torch.rand(5, 4))


def test_a_radius_is_measured_against_the_range_of_the_inputs() -> None:
    wide = torch.rand(5, 4) * 255
    assert byheart.critical_samples(Noisy(), wide, radius=8.0, max_steps=1).radius == 8.0


def test_the_control_is_left_out_unless_asked_for() -> None:
    found = byheart.critical_samples(Noisy(), torch.rand(5, 4), max_steps=1)
    assert found.control != found.control


def test_how_inputs_are_batched_changes_no_result() -> None:
    model, x = Noisy(), torch.rand(60, 4)
    one, other = (
        byheart.critical_samples(
            model, x, radius=0.2, step=0.02, noise=0.05, max_steps=20, batch_size=size
        )
        for size in (60, 7)
    )
    assert torch.equal(one.found_at, other.found_at)
    assert torch.equal(one.certified, other.certified)

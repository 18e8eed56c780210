"""Both sides of the critical sample ratio of one network: promises, corners, and cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.measures.networks import trained
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import byheart
from byheart.errors import InputError
from byheart.measures.critical.bracket import CORNERS, Bracket, Settings, corners
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, Box, ExampleNoise
from byheart.networks.mlp import ReplicatedMLP

STEPS = 30


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
    assert torch.equal(found[0].witness, found[1].witness)
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
    found = byheart.critical_samples(Noisy(), wide, radius=8.0, max_steps=1)
    assert found.radius == 8.0
    assert found.control != found.control  # not asked for


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


@pytest.mark.parametrize("certify", [True, False])
def test_the_bracket_of_a_pack_is_that_of_each_network(certify: bool) -> None:
    pack = ReplicatedMLP.initialised((4, 12, 12, 3), [0, 1], dtype=torch.float64)
    x = torch.rand(80, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    settings = Settings(radius=0.1, step=0.03, noise=0.02, max_steps=30)
    bracket = Bracket(
        pack, x.expand(2, -1, -1), settings, lambda numbers: ExampleNoise(5, x[numbers], numbers)
    )
    bracket.settle_cheaply(pack(bracket.x), certify=certify, splits=None)
    bracket.search()
    for replica in range(2):
        alone = byheart.critical_samples(
            pack.module(replica), x, certify=certify, seed=5, **vars(settings) | {"batch_size": 80}
        )
        assert 0 < int(alone.critical.sum()) < 80
        for name in ("critical", "certified", "found_at"):
            assert torch.equal(getattr(bracket, name)[replica], getattr(alone, name)), name
        torch.testing.assert_close(bracket.witness[replica], alone.witness)


def mlp(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)).double()


def corner_from(
    model: nn.Module, at: torch.Tensor, start: torch.Tensor, own: int, radius: float
) -> torch.Tensor:
    """Return the corner of the box around ``start`` that the margin at ``at`` points to."""
    point = at.clone().requires_grad_()
    logits = model(point[None])[0]
    values = logits.detach()
    rival = max((j for j in range(len(logits)) if j != own), key=lambda j: float(values[j]))
    (slope,) = torch.autograd.grad(logits[own] - logits[rival], point)
    return torch.tensor(
        [c - radius if s > 0 else c + radius for c, s in zip(start, slope, strict=True)]
    ).to(start)


def slow_corners(
    model: nn.Module, x: torch.Tensor, radius: float, rounds: int
) -> list[torch.Tensor | None]:
    """Return for each input the first corner on its way with another class; None if there is none.

    One input, one class and one coordinate at a time.
    """
    witnesses: list[torch.Tensor | None] = []
    for start in x:
        own = int(model(start[None]).argmax())
        at, witness = start, None
        for _ in range(rounds):
            at = corner_from(model, at, start, own, radius)
            if int(model(at[None]).argmax()) != own:
                witness = at
                break
        witnesses.append(witness)
    return witnesses


@pytest.mark.parametrize("radius", [0.08, 0.2, 0.4])
def test_corners_are_those_of_the_slow_twin(radius: float) -> None:
    model, x = mlp(3), torch.rand(80, 6, dtype=torch.float64)
    found, witness = corners(model, x, model(x).argmax(1), Box.around(x, radius))
    twin = slow_corners(model, x, radius, CORNERS)
    assert found.tolist() == [one is not None for one in twin]
    assert bool(found.any())
    for ours, start, one in zip(witness, x, twin, strict=True):
        torch.testing.assert_close(ours, start if one is None else one, atol=1e-12, rtol=0.0)


def test_one_corner_decides_where_the_network_is_linear_and_has_two_classes() -> None:
    torch.manual_seed(0)
    model, x, radius = nn.Linear(20, 2).double(), torch.rand(500, 20).double(), 0.05
    w = (model.weight[1] - model.weight[0]).detach()
    margin = (x @ w + model.bias[1] - model.bias[0]).abs()
    found, _ = corners(model, x, model(x).argmax(1), Box.around(x, radius))
    assert 0 < int(found.sum()) < 500
    assert torch.equal(found, margin < radius * w.abs().sum())


def test_every_witness_lies_in_its_box_and_no_gradient_is_left_behind() -> None:
    model, x = mlp(1).float(), torch.rand(50, 6)
    found, witness = corners(model, x, model(x).argmax(1), Box.around(x, 0.3))
    assert torch.equal(Box.around(x, 0.3).project(witness), witness)
    assert torch.equal(model(witness).argmax(1) != model(x).argmax(1), found)
    assert all(parameter.grad is None for parameter in model.parameters())


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.fixture(scope="module")
def digits() -> byheart.Dataset:
    return byheart.load_dataset("digits", size=1500, seed=0)


@pytest.fixture(scope="module")
def models(digits: byheart.Dataset) -> dict[str, nn.Module]:
    """Return a network that has fitted 500 digits, and one that has fitted random labels."""
    random = torch.randint(10, (500,), generator=torch.Generator().manual_seed(0))
    return {
        name: trained(digits.x[:500], y, hidden=128, epochs=60, seed=0)
        for name, y in (("real", digits.y[:500]), ("random", random))
    }


def attack(model: nn.Module, x: torch.Tensor, radius: float) -> torch.Tensor:
    """Return which samples projected gradient descent from the predicted class breaks, bool [N]."""
    predicted, box, at = model(x).argmax(1), Box.around(x, radius), x
    for _ in range(STEPS):
        at = at.detach().requires_grad_()
        loss = functional.cross_entropy(model(at), predicted)
        (slope,) = torch.autograd.grad(loss, at)
        at = box.project(at + radius / 4 * slope.sign())
    return model(at).argmax(1) != predicted


@pytest.mark.parametrize(
    ("labels", "radius", "share"),
    [("real", 0.3 / 255, 0.25), ("random", 0.3 / 255, 0.5), ("real", 3 / 255, 0.5)],
)
def test_a_bracket_takes_fewer_operations_than_thirty_steps_of_an_attack(
    digits: byheart.Dataset, models: dict[str, nn.Module], labels: str, radius: float, share: float
) -> None:
    model, searched = models[labels], digits.x[500:]
    with Operations() as theirs:
        refuted = attack(model, searched, radius)
    with Operations() as ours:
        found = byheart.critical_samples(
            model,
            searched,
            radius=radius,
            step=STEP_PER_RADIUS * radius,
            noise=NOISE_PER_RADIUS * radius,
            max_steps=STEPS,
        )
    assert int(found.critical.sum()) >= int(refuted.sum())
    assert not bool((found.certified & refuted).any())
    assert ours.count < share * theirs.count, f"{ours.count / theirs.count:.3f}"

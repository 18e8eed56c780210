"""The formulas for multilayer perceptrons, against autograd and against actual retraining."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.unrolled import unrolled_gradients
from torch import Tensor, nn

from byheart.measures.mlp_sgd import MlpAdjoints, MlpSgd, mlp_sgd
from byheart.measures.sensitivity import NORMS, sensitivity_profile
from byheart.measures.unrolled import DivergedError, PlainSgd, input_gradients
from byheart.networks.mlp import ReplicatedMLP

N, INPUTS, CLASSES = 14, 5, 3
RATE = 0.4
TIMES = [0, 1, 4, 7, 9]


def run(*hidden: int, classes: int = CLASSES, seed: int = 0, updates: int = 9) -> PlainSgd:
    draw = torch.Generator().manual_seed(seed)
    sizes = (INPUTS, *hidden, classes)
    network = ReplicatedMLP.initialised(sizes, [seed], dtype=torch.float64)
    for bias in network.biases:
        bias += 0.1 * torch.randn(bias.shape, generator=draw, dtype=torch.float64)
    x = torch.rand(N, INPUTS, generator=draw, dtype=torch.float64)
    y = torch.randint(0, classes, (N,), generator=draw)
    batches = [torch.randint(0, N, (4 + s % 2,), generator=draw) for s in range(updates)]
    return PlainSgd(network.module(0), x, y, batches, RATE)


def by_formulas(slow: PlainSgd) -> MlpSgd:
    fast = mlp_sgd(slow._model, slow)
    assert fast is not None
    return fast


HIDDEN = [(), (6,), (8, 7), (6, 5, 4)]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_formulas_equal_autograd_and_one_graph_of_all_of_training(hidden: tuple[int, ...]) -> None:
    slow = run(*hidden)
    unrolled = unrolled_gradients(
        slow._model, slow.x, slow.y, batches=slow.batches, learning_rate=RATE, evaluate_at=TIMES
    )
    for sgd in (slow, by_formulas(slow)):
        torch.testing.assert_close(input_gradients(sgd, TIMES), unrolled, rtol=1e-10, atol=1e-14)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 9), max_size=3), st.integers(2, 6))
def test_each_formula_equals_autograd(seed: int, hidden: list[int], classes: int) -> None:
    slow = run(*hidden, classes=classes, seed=seed)
    fast, theta = by_formulas(slow), slow.start
    close = {"rtol": 1e-9, "atol": 1e-13}
    torch.testing.assert_close(fast.step(0, theta), slow.step(0, theta), **close)
    weights = torch.rand(N, dtype=torch.float64)
    of_fast, of_slow = (sgd.loss_gradients(0, theta, weights) for sgd in (fast, slow))
    torch.testing.assert_close(of_fast, of_slow, **close)
    adjoints = [torch.randn(3, *p.shape, dtype=torch.float64) for p in theta]
    by_hand, by_autograd = (tuple(map(torch.clone, adjoints)) for _ in range(2))
    received = MlpAdjoints(fast, by_hand, 0).pull_back(0, theta)
    torch.testing.assert_close(received, slow.pull_back(0, theta, by_autograd), **close)
    torch.testing.assert_close(by_hand, by_autograd, **close)
    torch.testing.assert_close(fast.logits(theta, slow.x), slow.logits(theta, slow.x), **close)


@pytest.mark.parametrize("fast", [False, True])
def test_the_gradients_of_all_classes_add_up_to_the_whole(fast: bool) -> None:
    slow = run(6, 5)
    sgd = by_formulas(slow) if fast else slow
    members = nn.functional.one_hot(sgd.y, CLASSES).double()
    shares = [share for _ in TIMES for share in members.T]
    parts = input_gradients(sgd, [t for t in TIMES for _ in range(CLASSES)], shares)
    whole = input_gradients(sgd, TIMES)
    torch.testing.assert_close(parts.view(len(TIMES), CLASSES, N, INPUTS).sum(1), whole)


def test_a_profile_holds_every_norm_and_the_classes_of_its_definition() -> None:
    sgd = by_formulas(run(6, 5))
    found = sensitivity_profile(sgd, TIMES, per_class_at=[4, 9], classes=CLASSES)
    gradients = input_gradients(sgd, TIMES)
    for row, norm in zip(found.norms, NORMS, strict=True):
        torch.testing.assert_close(row, torch.linalg.vector_norm(gradients, ord=norm, dim=2))
    for m, t in enumerate((4, 9)):
        for i in range(CLASSES):
            part = input_gradients(sgd, [t], [(sgd.y == i).double()])[0].abs().sum(1)
            for j in range(CLASSES):
                torch.testing.assert_close(found.per_class[m, i, j], part[sgd.y == j].mean())
    theta = sgd.start
    for s in range(9):
        theta = sgd.step(s, theta)
    logits = sgd.logits(theta, sgd.x)
    torch.testing.assert_close(found.loss[-1], nn.functional.cross_entropy(logits, sgd.y))
    assert found.accuracy[-1] == pytest.approx(float((logits.argmax(1) == sgd.y).double().mean()))


def test_times_are_told_as_the_sweep_passes_them() -> None:
    told: list[int] = []
    sensitivity_profile(by_formulas(run(6)), TIMES, on_time=told.append)
    assert told == TIMES[::-1]


@pytest.mark.parametrize("fast", [False, True])
def test_divergence_names_the_update(fast: bool) -> None:
    slow = run(6)
    slow.learning_rate = 1e200
    with pytest.raises(DivergedError, match=r"diverged at update \d of 9") as error:
        input_gradients(by_formulas(slow) if fast else slow, [9])
    assert 1 <= error.value.update <= 9


def linear(*sizes: int) -> list[nn.Module]:
    return [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]


def tied() -> nn.Module:
    one, relu = nn.Linear(5, 5), nn.ReLU()
    return nn.Sequential(one, relu, one)


def hooked() -> nn.Module:
    model = nn.Sequential(*linear(5, 3))
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    return model


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(5, 3),
        nn.Sequential(nn.Linear(5, 3, bias=False)),
        nn.Sequential(*linear(5, 4, 3)),
        nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(5, 3), nn.ReLU()),
        nn.Sequential(nn.Linear(5, 4).requires_grad_(False), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(),
        tied(),
        hooked(),
    ],
)
def test_any_other_network_is_left_to_autograd(model: nn.Module) -> None:
    x, y = torch.rand(4, 5), torch.tensor([0, 1, 2, 0])
    assert mlp_sgd(model, PlainSgd(model, x, y, [], RATE)) is None


def test_images_are_flattened_as_the_network_does() -> None:
    model = nn.Sequential(nn.Flatten(), *linear(6, 3)).double()
    x, y = torch.rand(4, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    slow = PlainSgd(model, x, y, [torch.tensor([0, 1])], RATE)
    fast = by_formulas(slow)
    torch.testing.assert_close(
        input_gradients(fast, [1]), input_gradients(slow, [1]).flatten(2), rtol=1e-10, atol=1e-14
    )
    unflattened = nn.Sequential(*copy.deepcopy(linear(6, 3)))
    assert mlp_sgd(unflattened, PlainSgd(unflattened, x, y, [], RATE)) is None


def test_the_parameters_are_left_alone() -> None:
    slow = run(6, 5)
    before: list[Tensor] = [p.clone() for p in slow.start]
    input_gradients(by_formulas(slow), TIMES)
    assert all(torch.equal(a, b) for a, b in zip(before, slow.start, strict=True))

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.unrolled import retrained_gradients, unrolled_gradients
from torch import Tensor, nn
from torch.nn.functional import one_hot

from byheart.errors import InputError
from byheart.measures import unrolled
from byheart.measures.sensitivity import loss_sensitivity, shuffled_batches
from byheart.measures.unrolled import PlainSgd, input_gradients

N, CLASSES = 12, 3


class Tied(nn.Module):
    """Two layers that share one weight, a frozen one, and a parameter that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, CLASSES).requires_grad_(False)
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def convolutional() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    norm.running_mean = torch.linspace(-1, 1, 4)
    norm.running_var = torch.linspace(0.5, 2, 4)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2, stride=1),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(3, CLASSES),
    )


MODELS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "linear": ((5,), lambda: nn.Linear(5, CLASSES)),
    "relu": ((6,), lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))),
    "norm": (
        (6,),
        lambda: nn.Sequential(nn.Linear(6, 7), nn.LayerNorm(7), nn.GELU(), nn.Linear(7, CLASSES)),
    ),
    "convolutional": ((1, 6, 6), convolutional),
    "tied": ((6,), Tied),
}


def case(name: str = "relu", updates: int = 10) -> tuple[nn.Module, Tensor, Tensor, list[Tensor]]:
    shape, build = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build().double()
        x = torch.rand(N, *shape, dtype=torch.float64)
        y = torch.randint(0, CLASSES, (N,))
        # With replacement, so that an example may stand in a batch twice; the last never does.
        batches = [torch.randint(0, N - 1, (4 + s % 2,)) for s in range(updates)]
    return model, x, y, batches


@pytest.mark.parametrize("norm", [1, 2, math.inf])
@pytest.mark.parametrize("name", MODELS)
def test_the_sweep_agrees_with_one_autograd_graph_of_all_of_training(
    name: str, norm: float
) -> None:
    model, x, y, batches = case(name)
    run = {"batches": batches, "learning_rate": 0.5, "evaluate_at": [0, 1, 2, 5, 9, 10]}
    slow = unrolled_gradients(model.eval(), x, y, **run)
    fast = loss_sensitivity(model, x, y, **run, norm=norm)
    expected = torch.linalg.vector_norm(slow.flatten(2), ord=norm, dim=2)
    torch.testing.assert_close(fast, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("updates", range(8))
def test_every_length_of_training_agrees_at_every_time(updates: int) -> None:
    model, x, y, batches = case("relu", updates)
    run = {"batches": batches, "learning_rate": 0.7, "evaluate_at": list(range(updates + 1))}
    slow = unrolled_gradients(model, x, y, **run)
    fast = loss_sensitivity(model, x, y, **run)
    torch.testing.assert_close(fast, slow.abs().sum(2), rtol=1e-10, atol=1e-15)


def test_the_signed_gradients_are_those_of_actual_retraining() -> None:
    model, x, y, batches = case("norm", 4)
    times = [0, 1, 3, 4]
    by_retraining = retrained_gradients(
        model, x, y, batches=batches, learning_rate=0.5, evaluate_at=times, distance=1e-5
    )
    by_sweep = input_gradients(PlainSgd(model, x, y, batches, 0.5), times)
    torch.testing.assert_close(by_sweep, by_retraining, rtol=1e-6, atol=1e-10)


def test_one_step_of_a_linear_network_from_zero_is_what_can_be_written_down() -> None:
    """From W = 0, W_1 = lr/N sum_n r_n x_n^T with r_n = onehot(y_n) - 1/C, exactly."""
    _, x, y, _ = case("linear")
    model = nn.Linear(5, CLASSES, bias=False).double()
    nn.init.zeros_(model.weight)
    rate = 2.0
    target = one_hot(y, CLASSES).double()
    r = target - 1 / CLASSES
    weight = rate / N * r.T @ x
    error = torch.softmax(x @ weight.T, 1) - target
    direct = error @ weight / N
    through_training = rate / N**2 * (r @ error.T) @ x
    found = loss_sensitivity(
        model, x, y, batches=[torch.arange(N)], learning_rate=rate, evaluate_at=[0, 1]
    )
    torch.testing.assert_close(found[0], torch.zeros(N, dtype=torch.float64))
    torch.testing.assert_close(
        found[1], (direct + through_training).abs().sum(1), rtol=1e-12, atol=0
    )


def test_an_example_never_trained_on_has_the_direct_term_only() -> None:
    model, x, y, batches = case()
    sgd = PlainSgd(model, x, y, batches, 0.5)
    theta = sgd.start
    for s in range(len(batches)):
        theta = sgd.step(s, theta)
    _, direct = sgd.loss_gradients(len(batches), theta)
    total = input_gradients(sgd, [len(batches)])[0]
    torch.testing.assert_close(total[-1], direct[-1], rtol=1e-12, atol=0)
    assert not torch.allclose(total[:-1], direct[:-1], rtol=0.1)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 6), min_size=1))
def test_a_time_gets_the_same_answer_whatever_other_times_are_asked_for(times: set[int]) -> None:
    model, x, y, batches = case("relu", 6)
    run = {"batches": batches, "learning_rate": 0.5}
    every = loss_sensitivity(model, x, y, **run, evaluate_at=range(7))
    some = loss_sensitivity(model, x, y, **run, evaluate_at=sorted(times))
    torch.testing.assert_close(some, every[sorted(times)], rtol=1e-11, atol=1e-16)


def test_adjoints_pulled_back_a_few_at_a_time_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x, y, batches = case("convolutional")
    run = {"batches": batches, "learning_rate": 0.5, "evaluate_at": range(11)}
    together = loss_sensitivity(model, x, y, **run)
    monkeypatch.setattr(unrolled, "ADJOINTS_PER_BATCH", 3)
    torch.testing.assert_close(loss_sensitivity(model, x, y, **run), together, rtol=1e-12, atol=0)


def test_float32_agrees_with_float64_to_single_precision() -> None:
    model, x, y, batches = case()
    run = {"batches": batches, "learning_rate": 0.5, "evaluate_at": [0, 5, 10]}
    double = loss_sensitivity(model, x, y, **run)
    single = loss_sensitivity(model.float(), x.float(), y, **run)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-7)


def test_the_model_is_left_as_it_was() -> None:
    model, x, y, batches = case("convolutional")
    model[1].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x.requires_grad_()
    state = torch.random.get_rng_state()
    with torch.no_grad():
        found = loss_sensitivity(model, x, y, batches=batches, learning_rate=0.5, evaluate_at=[10])
    assert not found.requires_grad
    assert x.grad is None
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_updates_after_the_last_time_are_not_run() -> None:
    model, x, y, batches = case("relu", 3)
    run = {"learning_rate": 0.5, "evaluate_at": [2]}
    taken = []

    class Counting(PlainSgd):
        def step(self, s: int, theta: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            taken.append(s)
            return super().step(s, theta)

    input_gradients(Counting(model, x, y, batches, 0.5), [2])
    assert set(taken) == {0, 1}
    assert torch.equal(
        loss_sensitivity(model, x, y, batches=batches, **run),
        loss_sensitivity(model, x, y, batches=batches[:2], **run),
    )


def test_a_training_that_diverges_is_refused_by_the_update_at_which_it_did() -> None:
    model, x, y, batches = case()
    with pytest.raises(InputError, match=r"diverged at update \d+ of 10: choose a learning_rate"):
        loss_sensitivity(model, x, y, batches=batches, learning_rate=1e200, evaluate_at=[10])
    assert model.training


def test_a_derivative_that_overflows_where_training_does_not_is_refused() -> None:
    """A loss of many narrow valleys, walked with long steps: every step multiplies the adjoint."""

    class Chaotic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phase = nn.Parameter(torch.tensor(0.3))

        def forward(self, x: Tensor) -> Tensor:
            wave = torch.sin(30 * self.phase * x.mean(1, keepdim=True))
            return torch.cat([wave, -wave], 1)

    x, y = torch.tensor([[1.0], [0.7]]), torch.tensor([0, 1])
    with pytest.raises(InputError, match="derivative through 200 updates is too large"):
        loss_sensitivity(
            Chaotic(), x, y, batches=[torch.arange(2)] * 200, learning_rate=1.0, evaluate_at=[200]
        )


GOOD = {"batches": [torch.tensor([0, 1])] * 4, "learning_rate": 0.1, "evaluate_at": [0, 4]}


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("batches", [torch.tensor([0, N])], rf"batches\[0\] holds index {N}"),
        ("batches", [torch.tensor([0]), torch.tensor([-1])], r"batches\[1\] holds index -1"),
        ("batches", [torch.tensor([], dtype=torch.int64)], r"batches\[0\] must be integer"),
        ("batches", [torch.tensor([0.0])], r"batches\[0\] must be integer"),
        ("batches", [torch.ones(N, dtype=torch.bool)], r"batches\[0\] must be integer"),
        ("batches", torch.tensor([0, 1]), r"batches\[0\] must be integer"),
        ("evaluate_at", [], "ascending"),
        ("evaluate_at", [-1, 2], "from 0"),
        ("evaluate_at", [5], r"number of batches, 4, got \[5\]"),
        ("evaluate_at", [2, 1], "ascending"),
        ("evaluate_at", [1, 1], "ascending"),
        ("evaluate_at", [0.5], "whole update counts"),
        ("evaluate_at", 3, "whole update counts"),
        ("evaluate_at", range(100), "and more"),
        ("learning_rate", 0.0, "learning_rate must be"),
        ("learning_rate", -0.1, "learning_rate must be"),
        ("learning_rate", math.nan, "learning_rate must be"),
        ("learning_rate", math.inf, "learning_rate must be"),
        ("norm", 3, "norm must be 1, 2 or math.inf"),
        ("norm", math.nan, "norm must be"),
    ],
)
def test_a_setting_out_of_range_is_named(setting: str, value: object, message: str) -> None:
    model, x, y, _ = case()
    refused(model, x, y, message, **{setting: value})


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.rand(0, 6), torch.zeros(0, dtype=torch.int64), "N >= 1"),
        (torch.zeros(3, 6, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), "floating-point"),
        (torch.full((3, 6), math.nan), torch.zeros(3, dtype=torch.int64), "x holds values"),
        (torch.rand(3, 6), torch.zeros(2, dtype=torch.int64), "label for each of the 3 inputs"),
        (torch.rand(3, 6), torch.zeros(3), "integer label"),
        (torch.rand(3, 6), torch.tensor([0, 1, 3]), "y holds label 3: for 3 outputs"),
        (torch.rand(3, 6), torch.tensor([0, 1, -1]), "y holds label -1"),
        (torch.rand(3, 6).double(), torch.tensor([0, 1, 2]), "x is torch.float64 on cpu"),
    ],
)
def test_unusable_examples_are_refused(x: Tensor, y: Tensor, message: str) -> None:
    model, *_ = case()
    refused(model.float(), x, y, message)


class Made(nn.Module):
    """A linear network with something done to its output."""

    def __init__(self, then: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(6, CLASSES).double()
        self.then = then

    def forward(self, x: Tensor) -> object:
        return self.then(self.linear(x))


class OnceOnly(torch.autograd.Function):
    """An identity whose derivative cannot be differentiated again."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, slope: Tensor) -> Tensor:
        return slope


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (lambda z: z.sum(), r"logits \[N, classes\]: for N = 12 it returned \(\)"),
        (lambda z: (z, z), "returned tuple"),
        (lambda z: z / 0, "logits that are not finite"),
        (lambda z: nn.functional.dropout(z, 0.5), "different logits for the same inputs"),
        (lambda z: z.detach(), "cannot be differentiated twice"),
        (OnceOnly.apply, "cannot be differentiated twice"),
    ],
)
def test_a_model_that_cannot_be_measured_is_refused(
    then: Callable[[Tensor], object], message: str
) -> None:
    _, x, y, _ = case()
    refused(Made(then), x, y, message)


def test_a_model_with_nothing_to_train_is_refused() -> None:
    model, x, y, _ = case()
    refused(model.requires_grad_(False), x, y, "nothing to train")


def refused(model: nn.Module, x: Tensor, y: Tensor, message: str, **setting: object) -> None:
    with pytest.raises(InputError, match=message) as error:
        loss_sensitivity(model, x, y, **{**GOOD, **setting})
    assert "\n" not in str(error.value)
    assert model.training


def test_every_epoch_holds_every_example_once_in_a_new_order() -> None:
    batches = shuffled_batches(10, 4, 7, seed=1)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2, 4]
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:6])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(10))
    assert first.tolist() != second.tolist()


def test_the_seed_decides_the_order() -> None:
    first, same, different = (
        torch.cat(shuffled_batches(50, 8, 3, seed=seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, different)


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_count_below_one_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="must be 1 or more, got 0"):
        shuffled_batches(*wrong)

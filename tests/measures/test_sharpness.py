from __future__ import annotations

import copy

import pytest
import torch
from tests.measures.networks import convnet, data, filled, mlp
from tests.reference.hessian import (
    dense_hessian,
    largest,
    relative_hessian,
    softmax_regression_hessian,
)
from torch import Tensor, nn

import byheart
from byheart.errors import InputError

CASES = {
    "ReLU": (lambda: mlp(), (5,)),
    "tanh": (lambda: mlp(nn.Tanh, seed=1), (5,)),
    "steep": (lambda: mlp(nn.GELU, seed=2, scale=2.0), (5,)),
    "convolution, batch norm in eval mode, dropout": (convnet, (1, 6, 6)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale_invariant", [False, True])
def test_the_eigenvalue_is_that_of_the_dense_hessian(case: str, scale_invariant: bool) -> None:
    build, shape = CASES[case]
    model, (x, y) = build(), data(40, *shape)
    found = byheart.sharpness(
        model, x, y, tolerance=1e-8, scale_invariant=scale_invariant, batch_size=16
    )
    twin = relative_hessian if scale_invariant else dense_hessian
    assert found.converged
    assert found.residual <= 1e-8
    assert found.eigenvalue == pytest.approx(largest(twin(model.eval(), x, y)), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_an_eigenvalue_lies_within_the_residual(case: str, tolerance: float) -> None:
    build, shape = CASES[case]
    model, (x, y) = build(), data(40, *shape)
    found = byheart.sharpness(model, x, y, tolerance=tolerance)
    values = torch.linalg.eigvalsh(dense_hessian(model.eval(), x, y))
    assert found.residual <= tolerance
    nearest = float((values - found.eigenvalue).abs().min())
    assert nearest <= found.residual * abs(found.eigenvalue) * (1 + 1e-6) + 1e-14
    assert found.eigenvalue == pytest.approx(
        float(values[values.abs().argmax()]), rel=max(tolerance, 1e-6)
    )


def test_softmax_regression_has_the_closed_form() -> None:
    x, y = data(30, 4)
    model = filled(nn.Linear(4, 3, bias=False))
    exact = largest(softmax_regression_hessian(model.get_parameter("weight").detach(), x))
    assert byheart.sharpness(model, x, y, tolerance=1e-9).eigenvalue == pytest.approx(exact)


class Steps(nn.Module):
    """Two logits: theta^T A theta / 2, and 0."""

    def __init__(self, diagonal: list[float]) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(len(diagonal), dtype=torch.float64))
        self.register_buffer("diagonal", torch.tensor(diagonal, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        form = (self.get_buffer("diagonal") * self.theta**2).sum() / 2
        return torch.stack([form + 0 * x[:, 0], 0 * x[:, 0]], 1)


@pytest.mark.parametrize(
    ("diagonal", "eigenvalue"),
    [
        # At theta = 0 the loss of class 0 is -log sigmoid(form): its Hessian is -A / 2.
        ([1.0, 8.0, -3.0, 2.0], -4.0),
        # A negative eigenvalue of larger magnitude keeps its sign.
        ([2.0, -1.99, 0.1, *[0.5] * 20], -1.0),
    ],
)
def test_a_quadratic_form_has_the_curvature_written_into_it(diagonal, eigenvalue) -> None:
    x, y = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    measured = byheart.sharpness(Steps(diagonal), x, y, tolerance=1e-7)
    assert measured.eigenvalue == pytest.approx(eigenvalue, rel=1e-7)


def rescaled(model: nn.Module, factors: Tensor) -> nn.Module:
    """Return the same function, with the units of the first hidden layer rescaled."""
    changed = copy.deepcopy(model)
    changed.get_parameter("0.weight").data *= factors[:, None]
    changed.get_parameter("0.bias").data *= factors
    changed.get_parameter("2.weight").data /= factors
    return changed


@pytest.mark.parametrize("factors", [[8.0] * 6, [0.1, 0.7, 1.0, 3.0, 10.0, 2.5]])
def test_rescaled_units_change_the_plain_eigenvalue_and_not_the_invariant_one(factors) -> None:
    (x, y), model = data(40, 5), mlp()
    changed = rescaled(model, torch.tensor(factors, dtype=torch.float64))
    torch.testing.assert_close(changed(x), model(x))
    plain, invariant = (
        [
            byheart.sharpness(m, x, y, scale_invariant=scale_invariant, tolerance=1e-9).eigenvalue
            for m in (model, changed)
        ]
        for scale_invariant in (False, True)
    )
    assert abs(plain[1] / plain[0] - 1) > 1e-4
    assert invariant[1] == pytest.approx(invariant[0], rel=1e-9)


def test_the_same_call_gives_the_same_bits_and_leaves_the_random_state_alone() -> None:
    (x, y), model = data(40, 5), mlp()
    state = torch.random.get_rng_state()
    first = byheart.sharpness(model, x, y)
    assert byheart.sharpness(model, x, y) == first
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_caller_may_have_turned_gradients_off() -> None:
    (x, y), model = data(40, 5), mlp(nn.Tanh)
    with torch.no_grad():
        without = byheart.sharpness(model, x, y)
    assert without == byheart.sharpness(model, x, y)


def test_another_seed_agrees_within_the_tolerance() -> None:
    (x, y), model = data(40, 5), mlp()
    first, second = (byheart.sharpness(model, x, y, seed=seed).eigenvalue for seed in (0, 1))
    assert first != second
    assert first == pytest.approx(second, rel=1e-3)


def test_float32_reaches_the_default_tolerance() -> None:
    (x, y), model = data(40, 5), mlp()
    exact = largest(dense_hessian(model, x, y))
    found = byheart.sharpness(model.float(), x.float(), y)
    assert found.converged
    assert found.eigenvalue == pytest.approx(exact, rel=1e-3)


def test_a_limit_that_was_reached_first_is_said() -> None:
    (x, y), model = data(40, 5), mlp()
    found = byheart.sharpness(model, x, y, tolerance=1e-10, max_iterations=2)
    assert not found.converged
    assert found.iterations == 2
    assert found.residual > 1e-10


def test_nothing_of_the_model_is_touched() -> None:
    model = convnet().train()
    model.get_submodule("1").eval()
    model.get_parameter("6.bias").grad = torch.ones(3, dtype=torch.float64)
    before = copy.deepcopy(model)
    modes = {name: module.training for name, module in model.named_modules()}
    x, y = data(20, 1, 6, 6)
    with torch.no_grad():
        byheart.sharpness(model, x, y)
        byheart.online_sharpness(model, x, y, iterations=3)
    assert {name: module.training for name, module in model.named_modules()} == modes
    for (name, now), then in zip(
        model.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(now, then), name
    assert [p.grad is None for p in model.parameters()] == [True] * 5 + [False]
    assert torch.equal(model.get_parameter("6.bias").grad, torch.ones(3, dtype=torch.float64))


class Counting(nn.Module):
    """A classifier that counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        return self.head(x)


def test_a_module_that_counts_its_calls_does_not_count_ours() -> None:
    model = filled(Counting())
    byheart.sharpness(model, *data(10, 5))
    assert float(model.get_buffer("calls")) == 0


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


class Attention(nn.Module):
    """A classifier with an attention layer, whose fused kernel has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(4, 12)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.inside(x).chunk(3, -1)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.head(attended.mean(1))


def frozen() -> nn.Module:
    model = mlp()
    model.get_submodule("0").requires_grad_(False)
    return model


def tied() -> nn.Module:
    model = filled(Tied())
    model.second.weight = model.first.weight
    return model


@pytest.mark.parametrize(
    ("build", "shape"),
    [(frozen, (5,)), (tied, (3,)), (lambda: filled(Attention()), (5, 4))],
    ids=["frozen parameters are constants", "a shared weight counts once", "attention"],
)
def test_an_unusual_model_is_measured_too(build, shape: tuple[int, ...]) -> None:
    (x, y), model = data(30, *shape), build()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        exact = largest(dense_hessian(model, x, y))
    measured = byheart.sharpness(model, x, y, tolerance=1e-9)
    assert measured.eigenvalue == pytest.approx(exact, rel=1e-9)


class Returns(nn.Module):
    """A module that returns what a function makes of its logits."""

    def __init__(self, change: object) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        assert callable(self.change)
        changed: Tensor = self.change(self.head(x))
        return changed


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient.clone()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: z * float("nan"), "not finite"),
        (lambda z: z[:, 0], r"\[N, classes\]: for N = 10 it returned \(10,\)"),
        (lambda z: (z, z), r"\[N, classes\]: for N = 10 it returned tuple"),
        (lambda z: z + torch.rand_like(z), "not deterministic in eval mode"),
        (lambda z: z.detach(), "does not depend on its trainable parameters"),
        (lambda z: 0 * z + z.new_tensor([1.7e308, -1.7e308, 0.0]), "loss is not finite"),
        (lambda z: (z - z.detach()).abs().pow(1.5) * 1e-3, "Hessian of the loss is not finite"),
        (Once.apply, "without a second derivative: a custom backward"),
        (lambda z: torch.cdist(z, z[:3]), "without a second derivative: the derivative for"),
    ],
)
def test_a_model_that_cannot_be_measured_is_one_clear_line(change: object, message: str) -> None:
    x, y = data(10, 5)
    with pytest.raises(InputError, match=message) as caught:
        byheart.sharpness(filled(Returns(change)), x, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": 0.0}, "tolerance must lie between 0 and 1"),
        ({"tolerance": 1.0}, "tolerance must lie between 0 and 1"),
        ({"tolerance": float("nan")}, "tolerance must lie between 0 and 1"),
        ({"max_iterations": 0}, "max_iterations must be 1 or more"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.sharpness(mlp(), *data(10, 5), **settings)


X, Y = data(10, 5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:9], "of one length, got 10 inputs and 9 labels"),
        (X, Y.double(), r"integer labels \[N\], got torch.float64"),
        (X, Y[:, None], r"integer labels \[N\], got torch.int64 \(10, 1\)"),
        (X, Y + 1, r"labels must lie in 0..2 for a model with 3 outputs, got 1..3"),
        (X, Y - 1, r"labels must lie in 0..2 for a model with 3 outputs, got -1..1"),
        (X[:0], Y[:0], "N >= 1"),
        (torch.full_like(X, float("inf")), Y, "x holds values that are not finite"),
    ],
)
def test_data_that_do_not_fit_are_named(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.sharpness(mlp(), x, y)
    with pytest.raises(InputError, match=message):
        byheart.online_sharpness(mlp(), x, y)


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(InputError, match="no trainable parameter"):
        byheart.sharpness(mlp().requires_grad_(False), X, Y)


def test_a_model_keeps_its_modes_when_it_is_refused() -> None:
    model = convnet()
    with pytest.raises(InputError):
        byheart.sharpness(model, data(10, 1, 6, 6)[0], Y + 9)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("seed", [0, 1])
def test_online_with_all_examples_at_once_it_converges_to_the_exact_value(
    seed: int,
) -> None:
    (x, y), model = data(40, 5), mlp(nn.Tanh, seed=1)
    exact = largest(dense_hessian(model, x, y))
    found = byheart.online_sharpness(
        model, x, y, batch_size=40, gamma=0.3, alpha=1e-5, iterations=400, seed=seed
    )
    assert found.eigenvalue == pytest.approx(exact, rel=1e-3)
    assert found.history.shape == (400,)
    assert float(found.history[-1]) == found.eigenvalue


def test_online_from_a_few_examples_at_a_time_it_comes_near_the_exact_value() -> None:
    (x, y), model = data(40, 5), mlp(nn.Tanh, seed=1)
    exact = largest(dense_hessian(model, x, y))
    found = byheart.online_sharpness(model, x, y, batch_size=8, iterations=1500)
    assert found.eigenvalue == pytest.approx(exact, rel=0.1)


def test_the_online_limit_is_the_largest_positive_eigenvalue() -> None:
    # The Hessian is diag(1, -1.5, ...): the exact measure keeps the negative one.
    x, y = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    model = Steps([-2.0, 3.0, 0.1])
    found = byheart.online_sharpness(model, x, y, batch_size=3, iterations=1000)
    assert found.eigenvalue == pytest.approx(1.0, rel=1e-3)
    assert byheart.sharpness(model, x, y).eigenvalue == pytest.approx(-1.5, rel=1e-3)


def test_a_flat_loss_gives_zero_online() -> None:
    model = nn.Linear(1, 2, bias=False).double()
    model.weight.data = torch.tensor([[1e4], [-1e4]], dtype=torch.float64)
    x, y = torch.ones(4, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    assert byheart.online_sharpness(model, x, y).eigenvalue == pytest.approx(0, abs=1e-9)


def test_the_same_online_call_gives_the_same_bits_and_leaves_the_random_state_alone() -> None:
    (x, y), model = data(40, 5), mlp()
    state = torch.random.get_rng_state()
    first = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8)
    again = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8)
    other = byheart.online_sharpness(model, x, y, iterations=20, batch_size=8, seed=1)
    assert torch.equal(first.history, again.history)
    assert not torch.equal(first.history, other.history)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0.0}, "gamma must lie between 0 and 1"),
        ({"gamma": 1.0}, "gamma must lie between 0 and 1"),
        ({"alpha": 0.0}, "alpha must be a finite number above 0"),
        ({"alpha": float("inf")}, "alpha must be a finite number above 0"),
        ({"iterations": 0}, "iterations must be 1 or more"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_an_online_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.online_sharpness(mlp(), *data(10, 5), **settings)

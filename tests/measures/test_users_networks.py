"""Networks and inputs that users bring: measured right, or refused with the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parametrizations

import byheart
from byheart.errors import InputError

N, CLASSES = 8, 3
BATCHES = [torch.arange(5), torch.arange(3, 8)]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


def with_weight_norm() -> nn.Module:
    first = parametrizations.weight_norm(nn.Linear(6, 5))
    return nn.Sequential(first, nn.Tanh(), nn.Linear(5, CLASSES))


def with_old_weight_norm() -> nn.Module:
    first = nn.utils.weight_norm(nn.Linear(6, 5))
    return nn.Sequential(first, nn.Tanh(), nn.Linear(5, CLASSES))


def with_group_norm() -> nn.Module:
    first = nn.Linear(6, 8)
    return nn.Sequential(first, nn.GroupNorm(2, 8), nn.Tanh(), nn.Linear(8, CLASSES))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "weight norm": (with_weight_norm, (6,)),
    "old weight norm": (with_old_weight_norm, (6,)),
    "group norm": (with_group_norm, (6,)),
    "attention": (Attention, (4, 6)),
}


def case(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    build, shape = LAYERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double(), torch.randn(N, *shape).double(), torch.randint(CLASSES, (N,))


def hessian_by_differences(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the Hessian from differences of gradients: no second derivative is taken."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def gradient(theta: Tensor) -> Tensor:
        parts = torch.split(theta, [shape.numel() for shape in shapes.values()])
        state = {
            name: part.view(shape).clone().requires_grad_()
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
        loss = functional.cross_entropy(functional_call(model, state, (x,)), y)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(state.values()))])

    steps = 1e-5 * torch.eye(len(start)).double()
    rows = [(gradient(start + step) - gradient(start - step)) / 2e-5 for step in steps]
    return torch.stack(rows)


# torch says of the older weight norm that there is a newer one.
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_of_all_layers_are_those_of_differences(name: str) -> None:
    model, x, y = case(name)
    found = byheart.sharpness(model, x, y)
    eigenvalues = torch.linalg.eigvalsh(hessian_by_differences(model, x, y))
    largest = eigenvalues[eigenvalues.abs().argmax()]
    assert found.converged
    assert found.eigenvalue == pytest.approx(float(largest), rel=1e-5)


def trained_loss(model: nn.Module, x: Tensor, y: Tensor, updates: int) -> float:
    state = {name: p.detach().clone() for name, p in model.named_parameters()}
    for batch in BATCHES[:updates]:
        leaves = {name: p.requires_grad_() for name, p in state.items()}
        logits = functional_call(model, leaves, (x[batch],))
        slopes = torch.autograd.grad(
            functional.cross_entropy(logits, y[batch]), list(leaves.values())
        )
        state = {n: (p - 0.5 * g).detach() for (n, p), g in zip(state.items(), slopes, strict=True)}
    return float(functional.cross_entropy(functional_call(model, state, (x,)), y))


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("name", LAYERS)
def test_loss_sensitivity_of_all_layers_is_that_of_trainings_on_moved_inputs(name: str) -> None:
    model, x, y = case(name)
    settings = {"batches": BATCHES, "learning_rate": 0.5, "evaluate_at": [0, 2]}
    found = byheart.loss_sensitivity(model, x, y, **settings)
    for row, updates in enumerate((0, 2)):
        for example in (0, 4):
            slopes = []
            for place in range(x[example].numel()):
                moved = []
                for step in (1e-5, -1e-5):
                    other = x.clone()
                    other[example].view(-1)[place] += step
                    moved.append(trained_loss(model, other, y, updates))
                slopes.append((moved[0] - moved[1]) / 2e-5)
            total = sum(map(abs, slopes))
            assert found[row, example] == pytest.approx(total, rel=1e-6)


class Asymmetric(torch.autograd.Function):
    """w * sum(w), with a gradient that is right and a second derivative that is not."""

    @staticmethod
    def forward(ctx, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return w * w.sum()

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return slope * w.detach().sum() + (slope * w).sum()


class Wrong(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, Asymmetric.apply(self.weight), self.bias)


def test_a_layer_with_a_wrong_second_derivative_is_named() -> None:
    x, y = torch.randn(N, 6), torch.randint(CLASSES, (N,))
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), Wrong(4, CLASSES))
    settings = {"batches": BATCHES, "learning_rate": 0.5, "evaluate_at": [2]}
    for measure in (
        byheart.sharpness,
        byheart.online_sharpness,
        lambda *case: byheart.loss_sensitivity(*case, **settings),
    ):
        with pytest.raises(InputError, match="layer '2' has an operation with a wrong second"):
            measure(model, x, y)


def test_a_network_with_one_output_is_refused_by_every_measure() -> None:
    x, y = torch.rand(N, 4), torch.zeros(N, dtype=torch.int64)
    settings = {"batches": BATCHES, "learning_rate": 0.1, "evaluate_at": [0]}
    for model in (nn.Linear(4, 1), nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))):
        for measure in (
            lambda model: byheart.critical_samples(model, x),
            lambda model: byheart.sharpness(model, x, y),
            lambda model: byheart.online_sharpness(model, x, y),
            lambda model: byheart.loss_sensitivity(model, x, y, **settings),
        ):
            with pytest.raises(InputError, match=r"has 1 output.*torch.cat\(\[torch.zeros_like"):
                measure(model)


class OfMapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, CLASSES)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.layer(x["values"] * x["mask"])


def test_inputs_may_be_mappings_where_no_derivative_by_inputs_is_taken() -> None:
    torch.manual_seed(0)
    model, y = OfMapping(), torch.randint(CLASSES, (N,))
    x = {"values": torch.randn(N, 4), "mask": torch.randint(2, (N, 4)).float()}
    found = byheart.sharpness(model, x, y, tolerance=1e-5)
    plain = byheart.sharpness(model.layer, x["values"] * x["mask"], y, tolerance=1e-5)
    assert found.eigenvalue == pytest.approx(plain.eigenvalue, rel=1e-4)
    with pytest.raises(InputError, match="equally many examples, got values: 8, mask: 7"):
        byheart.sharpness(model, {**x, "mask": x["mask"][:7]}, y)
    with pytest.raises(InputError, match="x is a mapping: give the tensor"):
        byheart.critical_samples(model, x)


def test_inputs_of_another_type_are_converted_or_refused_in_one_line() -> None:
    model, x, y = nn.Linear(4, CLASSES), torch.rand(N, 4), torch.randint(CLASSES, (N,))
    for measure in (byheart.sharpness, byheart.online_sharpness):
        assert measure(model, x.double(), y).eigenvalue == measure(model, x, y).eigenvalue
    with pytest.raises(InputError, match=r"x is torch.float64, the model torch.float32: give x.to"):
        byheart.critical_samples(model, x.double())


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(10, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x.long()).mean(1))


def test_a_network_that_looks_up_embeddings_is_refused() -> None:
    x, y = torch.randint(10, (N, 5)).float(), torch.randint(CLASSES, (N,))
    with pytest.raises(InputError, match="no derivative by x, as where it looks up embeddings"):
        byheart.critical_samples(Embedded(), x, radius=0.5)
    with pytest.raises(InputError, match="no derivative by x, as where it looks up embeddings"):
        byheart.loss_sensitivity(
            Embedded(), x, y, batches=BATCHES, learning_rate=0.1, evaluate_at=[0]
        )
    assert byheart.sharpness(Embedded(), x, y).converged


def test_a_radius_that_is_tiny_for_the_inputs_is_warned_of() -> None:
    x = torch.randint(256, (N, 4)).float()
    with pytest.warns(UserWarning, match="radius 0.00117647 is tiny for inputs that span 2"):
        byheart.critical_samples(nn.Linear(4, CLASSES), x, certify=False, max_steps=1)

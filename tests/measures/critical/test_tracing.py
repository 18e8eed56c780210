"""Which forward methods the certificate follows, and which it must not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import box_around, interval_bounds
from byheart.measures.critical.steps import Affine, values
from byheart.measures.critical.tracing import UnknownLayerError, step_of, trace_nodes

Forward = Callable[["Body", Tensor], Tensor]


class Body(nn.Module):
    """Layers that a forward may use in any order."""

    def __init__(self, way: Forward) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
        self.head, self.small = nn.Linear(16, 3), nn.Linear(18, 3)
        self.register_buffer("mean", torch.tensor([0.4]))
        self.register_buffer("ten", torch.arange(10.0))
        self.register_buffer("std", torch.tensor([0.3]))
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.relu, self.over = nn.ReLU(), nn.ReLU(inplace=True)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def residual(m: Body, x: Tensor) -> Tensor:
    z = torch.flatten(x, 1)
    return m.head(m.relu(z + m.two(functional.relu(m.one(z)))))


def in_place(m: Body, x: Tensor) -> Tensor:
    z = x.view(x.size(0), -1)
    out = m.over(m.one(z))
    out = m.two(out)
    out += z
    return m.head(functional.relu(out, inplace=True))


def convolutional(m: Body, x: Tensor) -> Tensor:
    z = m.norm(m.conv(x))
    z = functional.max_pool2d(torch.add(z, torch.relu(z)), 3, stride=1, padding=1)
    z = functional.adaptive_avg_pool2d(functional.avg_pool2d(z, 1), (4, 2))
    z = functional.dropout(z.reshape(z.shape[0], z.shape[1] * 8), 0.5, m.training)
    return m.head(functional.relu(z))


def normalised(m: Body, x: Tensor) -> Tensor:
    z = ((x - m.mean) / m.std[:, None, None] - 0.5) * 2
    z = 1.0 - torch.mul(m.mean.view(1, 1, 1, 1), z)
    return m.head(functional.relu(0.1 + z).flatten(1))


def smooth(m: Body, x: Tensor) -> Tensor:
    z = functional.gelu(m.norm(m.conv(x)))
    z = functional.adaptive_avg_pool2d(functional.leaky_relu(z, 0.2), (3, 3))
    return m.small(torch.tanh(functional.silu(z).flatten(1)).sigmoid())


def twice(m: Body, x: Tensor) -> Tensor:
    z = x.flatten(1)
    for _ in range(3):
        z = m.one(z).relu() + z
    return m.head(z + z)


@pytest.mark.parametrize("way", [residual, in_place, convolutional, normalised, smooth, twice])
def test_a_traced_network_computes_what_the_module_does(way: Forward) -> None:
    torch.manual_seed(0)
    model, x = Body(way).double(), torch.randn(20, 1, 4, 4, dtype=torch.float64)
    model(x)
    model.eval().requires_grad_(False)
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    torch.testing.assert_close(values(nodes, x)[-1], model(x.clone()))
    last = interval_bounds(nodes, box_around(x, 0.05))[-1]
    for _ in range(50):
        logits = model(x + 0.05 * (2 * torch.rand_like(x) - 1).sign())
        assert bool(((last.low <= logits) & (logits <= last.high)).all())


def overwritten(m: Body, x: Tensor) -> Tensor:
    z = x.flatten(1)
    return m.head(m.over(z) + z)


def overwritten_by_view(m: Body, x: Tensor) -> Tensor:
    z = m.conv(x)
    m.over(z.flatten(1))
    return z.flatten(1)


def widened(m: Body, x: Tensor) -> Tensor:
    return m.head((x - m.ten.view(10, 1, 1)).mean(1).flatten(1))


def scaled(m: Body, x: Tensor) -> Tensor:
    z = x.flatten(1)
    return m.head(torch.add(z, m.one(z), alpha=-1))


def broadcast(m: Body, x: Tensor) -> Tensor:
    return (x + m.conv(x)).flatten(1)


def mixed(m: Body, x: Tensor) -> Tensor:
    return m.head(x.view(1, -1).view(-1, 16))


def noisy(m: Body, x: Tensor) -> Tensor:
    return m.head(functional.dropout(x.flatten(1), 0.0))


def weighted(m: Body, x: Tensor) -> Tensor:
    return functional.linear(x.flatten(1), m.head.weight)


def sized(m: Body, x: Tensor) -> Tensor:
    z = x.flatten(1)
    return m.head(z) if len(x) > 1 else m.head(m.one(z))


def gated(m: Body, x: Tensor) -> Tensor:
    z = x.flatten(1)
    return m.head(torch.sigmoid(z) * z)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        (overwritten, "over (ReLU) in place, on a value that is used again"),
        (overwritten_by_view, "over (ReLU) in place, on a value that is used again"),
        (widened, "sub (a function)"),
        (scaled, "add (a function)"),
        (broadcast, "add (a function)"),
        (mixed, "view (a function)"),
        (noisy, "dropout (a function)"),
        (weighted, "linear (a function)"),
        (sized, "Body whose forward cannot be traced"),
        (gated, "mul (a function)"),
    ],
)
def test_a_forward_that_does_more_is_refused_by_name(way: Forward, name: str) -> None:
    torch.manual_seed(0)
    model, x = Body(way).eval(), torch.randn(3, 1, 4, 4)
    with pytest.raises(UnknownLayerError) as refused:
        trace_nodes(model, x, Arithmetic.of(model, x))
    assert str(refused.value) == name


def test_a_forward_that_changes_from_call_to_call_is_refused() -> None:
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(4, 4), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.layer(x) if self.calls % 2 else self.layer(self.layer(x))

    model, x = Alternating().eval(), torch.rand(3, 4)
    with pytest.raises(UnknownLayerError, match="cannot be traced"):
        trace_nodes(model, x, Arithmetic.of(model, x))


@pytest.mark.parametrize(
    "layer", [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.ZeroPad2d(1)], ids=lambda m: str(m)
)
def test_the_kernel_of_a_layer_without_weights_is_where_its_inputs_are(layer: nn.Module) -> None:
    x = torch.zeros(1, 3, 4, 4, device="meta")
    arithmetic = Arithmetic.of(nn.Linear(1, 1), torch.zeros(1, 1))
    step = step_of(layer, x, layer(x), arithmetic, torch.float32)
    assert isinstance(step, Affine)
    assert step.kernel is not None
    assert step.kernel.weight.device.type == "meta"

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.reference.bounds import (
    Layers,
    exact_minimum,
    slow_intervals,
    slow_lower_bound,
    slow_tightened,
)
from torch import nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import (
    Choice,
    box_around,
    interval_bounds,
    lower_bounds,
    tightened_bounds,
)
from byheart.measures.critical.steps import Relu
from byheart.measures.critical.tracing import nodes_of

WIDTHS = [[5, 7, 3], [5, 6, 7, 4], [4, 8, 6, 5, 3]]


def mlp(widths: list[int], seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double().requires_grad_(False)


def dense(model: nn.Sequential) -> Layers:
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [(layer.weight.numpy(), layer.bias.numpy()) for layer in linear]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("radius", [0.01, 0.2])
def test_bounds_equal_those_of_the_slow_twin(widths: list[int], radius: float) -> None:
    model, x = mlp(widths), torch.rand(4, widths[0], dtype=torch.float64)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    box, layers = box_around(x, radius), dense(model)
    rows = torch.eye(widths[-1], dtype=torch.float64).expand(len(x), -1, -1)
    for ours, twin in (
        (interval_bounds(nodes, box), slow_intervals),
        (tightened_bounds(nodes, box, 50), slow_tightened),
    ):
        found = lower_bounds(nodes, ours, rows).bound
        for i in range(len(x)):
            low, high = box.low[i].numpy(), box.high[i].numpy()
            bounds = twin(layers, low, high)
            for number, (lo, hi) in enumerate(bounds):
                reach = ours[2 * number + 1]
                np.testing.assert_allclose(reach.low[i], lo, atol=1e-12)
                np.testing.assert_allclose(reach.high[i], hi, atol=1e-12)
            expected = [slow_lower_bound(layers, bounds, low, high, row) for row in rows[i].numpy()]
            np.testing.assert_allclose(found[i], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_bound_exceeds_the_exact_minimum_and_tiny_boxes_reach_it(seed: int) -> None:
    model = mlp([2, 3, 3, 2], seed)
    x = torch.rand(3, 2, dtype=torch.float64)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    rows = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64).expand(3, 1, 2)
    for radius in (1e-4, 0.05, 0.5):
        box = box_around(x, radius)
        reaches = tightened_bounds(nodes, box, 50)
        found = lower_bounds(nodes, reaches, rows).bound[:, 0]
        exact = torch.tensor(
            [
                exact_minimum(dense(model), lo.numpy(), hi.numpy(), np.array([1.0, -1.0]))
                for lo, hi in zip(box.low, box.high, strict=True)
            ],
            dtype=torch.float64,
        )
        assert bool((found <= exact + 1e-6).all())
        if radius == 1e-4:
            torch.testing.assert_close(found, exact, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("widths", WIDTHS)
def test_chosen_slopes_and_multipliers_bound_as_the_slow_twin_does(widths: list[int]) -> None:
    model, x = mlp(widths), torch.rand(4, widths[0], dtype=torch.float64)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    box, layers = box_around(x, 0.2), dense(model)
    reaches = interval_bounds(nodes, box)
    rows = torch.eye(widths[-1], dtype=torch.float64).expand(len(x), -1, -1)
    relus = [number for number, node in enumerate(nodes) if isinstance(node.step, Relu)]
    slopes = {n: torch.rand_like(reaches[n].low) for n in relus}
    multipliers = {n: torch.randn_like(reaches[n].low) for n in relus}
    found = lower_bounds(nodes, reaches, rows, Choice(slopes, multipliers)).bound
    for i in range(len(x)):
        low, high = box.low[i].numpy(), box.high[i].numpy()
        bounds = [(reaches[n].low[i].numpy(), reaches[n].high[i].numpy()) for n in relus]
        given = [[part[n][i].numpy() for n in relus] for part in (slopes, multipliers)]
        expected = [
            slow_lower_bound(layers, bounds, low, high, row, *given) for row in rows[i].numpy()
        ]
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def convolutional() -> nn.Sequential:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.ZeroPad2d((1, -1, -1, 1)),
        nn.Conv2d(2, 6, 3, padding=1, stride=2, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(6, 4, 2, dilation=2, padding="same"), nn.ReLU(inplace=True)),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Identity(),
        nn.Linear(8, 3),
    )
    for _ in range(5):  # running statistics other than 0 and 1
        model(torch.randn(20, 2, 11, 11))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("bounds", ["intervals", "tightened"])
@pytest.mark.parametrize("radius", [1e-3, 0.1])
def test_every_activation_lies_within_its_bounds(bounds: str, radius: float) -> None:
    model, x = convolutional(), torch.rand(3, 2, 11, 11)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    box = box_around(x, radius)
    reaches = (
        interval_bounds(nodes, box) if bounds == "intervals" else tightened_bounds(nodes, box, 4096)
    )
    flat = [layer for layer in model.modules() if not isinstance(layer, nn.Sequential)]
    kept = [layer for layer in flat if not isinstance(layer, nn.Dropout | nn.Identity)]
    assert len(kept) == len(nodes)
    for sample in range(200):
        side = torch.rand_like(x) * 2 - 1
        z = x + radius * (side.sign() if sample % 2 else side) * (1 - 1e-3)
        for layer, reach in zip(kept, reaches[1:], strict=True):
            z = layer(z.clone())
            assert bool((z.double() >= reach.low).all()), layer
            assert bool((z.double() <= reach.high).all()), layer


def test_relaxation_through_every_layer_bounds_the_network_and_beats_intervals() -> None:
    model, x = convolutional(), torch.rand(3, 2, 11, 11)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    rows = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    for radius, gain in ((1e-3, True), (0.05, False)):
        box = box_around(x, radius)
        reaches = interval_bounds(nodes, box)
        found = lower_bounds(nodes, reaches, rows).bound
        tight = lower_bounds(nodes, tightened_bounds(nodes, box, 4096), rows).bound
        for _ in range(200):
            z = x + radius * (torch.rand_like(x) * 2 - 1).sign() * (1 - 1e-3)
            assert bool((model(z).double() >= torch.maximum(found, tight)).all())
        if gain:
            assert bool((found > reaches[-1].low).all())
            assert float(tight.mean()) >= float(found.mean())
            assert bool((model(x).double() - tight < 0.1).all())


def test_intermediate_bounds_are_never_looser_than_intervals() -> None:
    model, x = mlp([6, 20, 20, 20, 4]), torch.rand(8, 6, dtype=torch.float64)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    box = box_around(x, 0.1)
    for loose, tight in zip(
        interval_bounds(nodes, box), tightened_bounds(nodes, box, 10_000), strict=True
    ):
        assert bool((tight.low >= loose.low).all())
        assert bool((tight.high <= loose.high).all())
    assert bool((tight.low > loose.low).any())


def test_how_the_work_is_divided_changes_no_bound() -> None:
    model, x = mlp([6, 20, 20, 4]), torch.rand(8, 6, dtype=torch.float64)
    nodes = nodes_of(model, x, Arithmetic.of(model, x))
    box = box_around(x, 0.1)
    whole, parts = (tightened_bounds(nodes, box, elements)[-1] for elements in (10**6, 1))
    torch.testing.assert_close(whole.low, parts.low, atol=1e-12, rtol=0.0)

"""Bounds hold, equal their slow twins, and are never looser than cheaper ones."""

from __future__ import annotations

import itertools
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
from byheart.measures.critical.bends import Relu
from byheart.measures.critical.bounds import (
    RelaxationParameters,
    box_around,
    interval_bounds,
    lower_bounds,
    tightened_bounds,
)
from byheart.measures.critical.second_layer import SecondLayer, Spectrum, dense_layers
from byheart.measures.critical.steps import Node, Reach
from byheart.measures.critical.tracing import trace_nodes

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
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
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


@pytest.mark.parametrize("seed", range(2))
def test_no_bound_exceeds_the_exact_minimum_and_tiny_boxes_reach_it(seed: int) -> None:
    model = mlp([2, 3, 3, 2], seed)
    x = torch.rand(2, 2, dtype=torch.float64)
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    rows = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64).expand(2, 1, 2)
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
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    box, layers = box_around(x, 0.2), dense(model)
    reaches = interval_bounds(nodes, box)
    rows = torch.eye(widths[-1], dtype=torch.float64).expand(len(x), -1, -1)
    relus = [number for number, node in enumerate(nodes) if isinstance(node.step, Relu)]
    slopes = {n: torch.rand_like(reaches[n].low) for n in relus}
    multipliers = {n: torch.randn_like(reaches[n].low) for n in relus}
    found = lower_bounds(nodes, reaches, rows, RelaxationParameters(slopes, multipliers)).bound
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
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    box = box_around(x, radius)
    reaches = (
        interval_bounds(nodes, box) if bounds == "intervals" else tightened_bounds(nodes, box, 4096)
    )
    flat = [layer for layer in model.modules() if not isinstance(layer, nn.Sequential)]
    kept = [layer for layer in flat if not isinstance(layer, nn.Dropout | nn.Identity)]
    assert len(kept) == len(nodes)
    for first, (layer, after) in enumerate(itertools.pairwise(kept)):
        if isinstance(layer, nn.ReLU) and isinstance(after, nn.MaxPool2d):  # as the nodes are
            kept[first : first + 2] = after, layer
    for sample in range(200):
        side = torch.rand_like(x) * 2 - 1
        z = x + radius * (side.sign() if sample % 2 else side) * (1 - 1e-3)
        for layer, reach in zip(kept, reaches[1:], strict=True):
            z = layer(z.clone())
            assert bool((z.double() >= reach.low).all()), layer
            assert bool((z.double() <= reach.high).all()), layer


def test_relaxation_through_every_layer_bounds_the_network_and_beats_intervals() -> None:
    model, x = convolutional(), torch.rand(3, 2, 11, 11)
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
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
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    box = box_around(x, 0.1)
    for loose, tight in zip(
        interval_bounds(nodes, box), tightened_bounds(nodes, box, 10_000), strict=True
    ):
        assert bool((tight.low >= loose.low).all())
        assert bool((tight.high <= loose.high).all())
    assert bool((tight.low > loose.low).any())


def test_how_the_work_is_divided_changes_no_bound() -> None:
    model, x = mlp([6, 20, 20, 4]), torch.rand(8, 6, dtype=torch.float64)
    nodes = trace_nodes(model, x, Arithmetic.of(model, x))
    box = box_around(x, 0.1)
    whole, parts = (tightened_bounds(nodes, box, elements)[-1] for elements in (10**6, 1))
    torch.testing.assert_close(whole.low, parts.low, atol=1e-12, rtol=0.0)


def dense_network(*widths: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(len(widths))
    layers: list[nn.Module] = [nn.Flatten()]
    for inside, outside in pairwise(widths):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(dtype).requires_grad_(False)


def meeting(
    model: nn.Module, x: torch.Tensor, dtype: torch.dtype, directions: int = 0
) -> tuple[list[Node], SecondLayer]:
    nodes = trace_nodes(model, x, Arithmetic.of(model, x), dtype)
    weight = model[1].weight.double()
    spectrum = Spectrum.of(weight, 8)
    assert spectrum is not None
    norms = spectrum.norms(directions)
    assert norms is not None
    return nodes, SecondLayer.of(nodes, norms)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (5, 1)])
def test_the_bound_of_a_norm_is_never_below_it_and_more_directions_tighten_it(
    dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    common = torch.randn(1, shape[1])  # a leading direction, as networks have
    weight = torch.randn(*shape, dtype=torch.float64) + 2 * common
    spectrum = Spectrum.of(weight, 4)
    assert spectrum is not None
    rows, slopes = torch.randn(40, shape[0]).to(dtype), torch.rand(60, shape[0]).to(dtype)
    exact = ((rows * slopes.unsqueeze(1)).double() @ weight).abs().sum(2)
    loose, tight = (spectrum.norms(count) for count in (0, 4))
    assert loose is not None
    assert tight is not None
    bounds = [norms.to(dtype).bound(rows, slopes).double() for norms in (loose, tight)]
    assert all(bool((bound >= exact).all()) for bound in bounds)
    if min(shape) > 4:
        assert float(bounds[1].mean()) < 0.7 * float(bounds[0].mean())


def test_rows_along_the_leading_directions_are_bounded_too() -> None:
    torch.manual_seed(2)
    weight = torch.randn(20, 30, dtype=torch.float64) + 3.0
    spectrum = Spectrum.of(weight, 3)
    assert spectrum is not None
    norms = spectrum.norms(3)
    assert norms is not None
    rows = spectrum.vectors.T / spectrum.units
    exact = (rows @ weight).abs().sum(1)
    found = norms.bound(rows, torch.ones(1, 20, dtype=torch.float64))[0]
    assert bool((found >= exact).all())
    assert bool((found[:3] < 1.5 * exact[:3]).all())


def test_a_layer_with_a_unit_of_zeros_has_no_spectrum() -> None:
    weight = torch.randn(4, 6, dtype=torch.float64)
    weight[2] = 0.0
    assert Spectrum.of(weight, 2) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("radius", [1e-3, 0.05, 0.4])
def test_every_activation_of_dense_layers_lies_within_its_bounds(
    dtype: torch.dtype, radius: float
) -> None:
    model, x = dense_network(9, 30, 25, 3, dtype=torch.float32), torch.rand(6, 3, 3)
    nodes, second = meeting(model, x, dtype, 2)
    box = box_around(x, radius, dtype)
    loose = interval_bounds(nodes, box, second)
    tight = tightened_bounds(nodes, box, 64, second)
    for sample in range(300):
        side = torch.rand_like(x) * 2 - 1
        z = x + radius * (side.sign() if sample % 2 else side) * (1 - 1e-3)
        for layer, one, other in zip(model, loose[1:], tight[1:], strict=True):
            z = layer(z.clone())
            for reach in (one, other):
                assert bool((z.double() >= reach.low.double()).all()), layer
                assert bool((z.double() <= reach.high.double()).all()), layer


def test_exact_norms_are_those_of_the_slow_twin_and_tighten_the_bounds() -> None:
    model, x = dense_network(9, 30, 25, 3), torch.rand(6, 9, dtype=torch.float64)
    nodes, second = meeting(model, x, torch.float64)
    slope, wanted = torch.rand(6, 30).double(), torch.rand(6, 25) < 0.6
    slope[:, ::3] = 0.0
    found = second.row_norms(slope, wanted, 64)
    for sample in range(6):
        for unit in range(25):
            row = (model[3].weight[unit] * slope[sample]) @ model[1].weight
            if wanted[sample, unit]:
                assert float(found[sample, unit]) >= float(row.abs().sum())
                torch.testing.assert_close(
                    found[sample, unit], row.abs().sum(), rtol=1e-10, atol=0.0
                )
            else:
                assert float(found[sample, unit]) == float("inf")
    box = box_around(x, 0.05)
    spectral = interval_bounds(nodes, box, second)[second.number + 1]
    exact = tightened_bounds(nodes, box, 64, second)[second.number + 1]
    undecided = (exact.low < 0) & (exact.high > 0)
    assert bool((width(exact) <= width(spectral) + 1e-12)[undecided].all())
    assert float(width(exact)[undecided].mean()) < 0.95 * float(width(spectral)[undecided].mean())


def width(reach: Reach) -> torch.Tensor:
    return reach.high - reach.low


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)),
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
    ],
)
def test_other_beginnings_are_left_to_intervals(model: nn.Sequential) -> None:
    x = torch.rand(2, 4)
    assert dense_layers(trace_nodes(model.eval(), x, Arithmetic.of(model, x))) is None

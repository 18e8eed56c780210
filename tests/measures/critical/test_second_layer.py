"""The bounds of a second dense layer, and the norms behind them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import box_around, interval_bounds, tightened_bounds
from byheart.measures.critical.second_layer import SecondLayer, Spectrum, dense_layers
from byheart.measures.critical.steps import Node, Reach
from byheart.measures.critical.tracing import nodes_of


def mlp(*widths: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(len(widths))
    layers: list[nn.Module] = [nn.Flatten()]
    for inside, outside in pairwise(widths):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(dtype).requires_grad_(False)


def meeting(
    model: nn.Module, x: torch.Tensor, dtype: torch.dtype, directions: int = 0
) -> tuple[list[Node], SecondLayer]:
    nodes = nodes_of(model, x, Arithmetic.of(model, x), dtype)
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
def test_every_activation_lies_within_its_bounds(dtype: torch.dtype, radius: float) -> None:
    model, x = mlp(9, 30, 25, 3, dtype=torch.float32), torch.rand(6, 3, 3)
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
    model, x = mlp(9, 30, 25, 3), torch.rand(6, 9, dtype=torch.float64)
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
    assert dense_layers(nodes_of(model.eval(), x, Arithmetic.of(model, x))) is None

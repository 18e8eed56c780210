"""The two lines around every nonlinearity."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from byheart.measures.critical.bends import Curve, Leaky, MaxPool, Relu
from byheart.measures.critical.steps import Reach
from byheart.measures.critical.tracing import CURVES

UNIT = torch.finfo(torch.float64).eps
CURVED = [Curve(kind(), bound, UNIT) for kind, bound in CURVES.items()]
CURVED.append(Curve(nn.GELU("tanh"), CURVES[nn.GELU], UNIT))


def intervals(shape: tuple[int, ...]) -> Reach:
    generator = torch.Generator().manual_seed(0)
    ends = 4 * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    ends[1, :2] = ends[0, :2] + 1e-3  # narrow ones, too
    return Reach(ends.amin(0), ends.amax(0))


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("step", [Relu(), Leaky(0.0), Leaky(0.3), Leaky(1.0), *CURVED], ids=str)
def test_a_function_lies_between_its_lines_and_within_its_interval(
    step: Relu | Leaky | Curve, parallel: bool
) -> None:
    reach = intervals((300, 4))
    centre = (reach.low + reach.high) / 2
    lower, upper = step.lines(reach, centre, parallel=parallel)
    within = step.interval(reach)
    for share in torch.linspace(0, 1, 101, dtype=torch.float64):
        z = reach.low + share * (reach.high - reach.low)
        change = step.value(z) - step.value(centre)
        assert bool((lower.slope * (z - centre) + lower.shift <= change + 1e-12).all())
        assert bool((change <= upper.slope * (z - centre) + upper.shift + 1e-12).all())
        assert bool((within.low <= step.value(z) + 1e-12).all())
        assert bool((step.value(z) <= within.high + 1e-12).all())
    if parallel:
        assert torch.equal(lower.slope, upper.slope)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(
    "pool",
    [
        MaxPool((2, 2), (2, 2), (0, 0), (1, 1)),
        MaxPool((3, 3), (2, 2), (0, 0), (1, 1)),
        MaxPool((3, 3), (1, 1), (1, 1), (1, 1)),
    ],
    ids=str,
)
def test_the_largest_of_a_window_lies_between_its_lines(pool: MaxPool, parallel: bool) -> None:
    reach = intervals((4, 2, 7, 7))
    centre = (reach.low + reach.high) / 2
    entry = pool.largest(centre)
    lower, upper = pool.lines(reach, centre, entry, parallel=parallel)
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        share = torch.rand(centre.shape, generator=generator, dtype=torch.float64).round(decimals=1)
        z = reach.low + share * (reach.high - reach.low)
        change = pool.value(z) - pool.value(centre)
        moved = pool.pick(z - centre, entry)
        assert bool((lower.slope * moved + lower.shift <= change + 1e-12).all())
        assert bool((change <= upper.slope * moved + upper.shift + 1e-12).all())


@pytest.mark.parametrize("curve", CURVED, ids=str)
def test_no_second_derivative_exceeds_its_bound(curve: Curve) -> None:
    z = torch.linspace(-12, 12, 240001, dtype=torch.float64)
    f = curve.value(z)
    second = (f[2:] - 2 * f[1:-1] + f[:-2]) / (z[1] - z[0]).square()
    largest = float(second.abs().max())
    assert 0.7 * curve.curvature < largest < curve.curvature

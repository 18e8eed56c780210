"""Bounds of deviations: equal to dense matrices, sound in float32, tighter than intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.image_bounds import layers_of, slow_bound
from torch import Tensor, nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import box_around, interval_bounds
from byheart.measures.critical.certificate import certificate
from byheart.measures.critical.deviations import Deviations
from byheart.measures.critical.programs import Program
from byheart.measures.critical.steps import Flatten, values
from byheart.measures.critical.tracing import trace_nodes

RADIUS = 0.02


def small_cnn(pool: nn.Module, stride: int = 1) -> nn.Sequential:
    """Return a CNN as the papers', with running statistics other than 0 and 1."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.ZeroPad2d(-1),
        nn.Conv2d(2, 3, 3, padding=1, stride=stride),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        pool,
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ).double()
    size = body(torch.rand(4, 2, 12, 12, dtype=torch.float64)).shape[1]
    head = [nn.Linear(size, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU()]
    model = nn.Sequential(*body, *head, nn.Linear(5, 3)).double()
    for _ in range(20):
        model(torch.rand(16, 2, 12, 12, dtype=torch.float64))
    return model.eval().requires_grad_(False)


POOLS = [nn.MaxPool2d(3, 2), nn.MaxPool2d(2), nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(2)]


def deviations(model: nn.Module, x: Tensor, dtype: torch.dtype, radius: float) -> Deviations:
    arithmetic = Arithmetic.of(model, x)
    nodes = trace_nodes(model, x, arithmetic)
    program = Program.of(trace_nodes(model, x, arithmetic, dtype), dtype)
    return Deviations(nodes, program, box_around(x, radius))


def differences(predicted: Tensor, classes: int) -> Tensor:
    identity = torch.eye(classes)
    return identity[predicted].unsqueeze(1) - identity


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_bounds_equal_those_of_dense_matrices(
    pool: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = small_cnn(pool), torch.rand(2, 2, 12, 12, dtype=torch.float64)
    wanted: dict[int, tuple[Tensor, Tensor]] = {}
    choose = Deviations._wanted

    def watched(self: Deviations, number: int) -> tuple[Tensor, Tensor]:
        wanted[self.nodes[number].inputs[0]] = choose(self, number)
        return wanted[self.nodes[number].inputs[0]]

    monkeypatch.setattr(Deviations, "_wanted", watched)
    fast = deviations(model, x, torch.float64, RADIUS)
    fast.forward(tighten=True)
    fast = fast.improved(torch.arange(2))
    layers = layers_of(model, (2, 12, 12))
    # The twin has no layer for a change of shape.
    kept = [0] + [n + 1 for n, node in enumerate(fast.nodes) if not isinstance(node.step, Flatten)]
    assert len(layers) == len(kept) - 1
    rows = differences(model(x).argmax(1), 3)
    margins = fast.margins(torch.arange(2), rows)
    compared = 0
    for sample in range(2):
        bounds = [
            (reach.low[sample].flatten().numpy(), reach.high[sample].flatten().numpy())
            for reach in (fast.reaches[value] for value in kept)
        ]
        centres = [fast.centres[value][sample].flatten().numpy() for value in kept]
        for row, margin in zip(rows[sample], margins[sample], strict=True):
            slow = slow_bound(layers, bounds, centres, row.double().numpy())
            assert float(margin) == pytest.approx(slow, abs=1e-9)
        for value, sides in wanted.items():
            number = kept.index(value)
            for sign, side in zip((1.0, -1.0), sides, strict=True):
                for unit in side[sample].flatten().nonzero().flatten()[:20]:
                    row = np.zeros(len(centres[number]))
                    row[unit] = sign
                    slow = slow_bound(layers[:number], bounds[: number + 1], centres, row)
                    # Intervals behind tightened bounds may be better than the pass.
                    best = min(sign * end[unit] for end in bounds[number])
                    assert best >= slow - 1e-9
                    compared += best < slow + 1e-9
    assert compared > 30


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_parts_of_an_image_give_the_bounds_of_the_whole(
    pool: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stride in (1, 2):
        model, x = small_cnn(pool, stride), torch.rand(3, 2, 12, 12, dtype=torch.float64)
        parts = deviations(model, x, torch.float64, RADIUS)
        parts.forward(tighten=True)
        with monkeypatch.context() as patch:
            patch.setattr(Deviations, "_windows", lambda self, value: None)
            whole = deviations(model, x, torch.float64, RADIUS)
            whole.forward(tighten=True)
        for ours, theirs in zip(parts.reaches, whole.reaches, strict=True):
            torch.testing.assert_close(ours.low, theirs.low, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(ours.high, theirs.high, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_float32_bounds_hold_and_lose_little(pool: nn.Module) -> None:
    model, x = small_cnn(pool), torch.rand(4, 2, 12, 12, dtype=torch.float64)
    for radius in (1e-4, RADIUS):
        rough, exact = (deviations(model, x, d, radius) for d in (torch.float32, torch.float64))
        rows = differences(model(x).argmax(1), 3)
        margins = []
        for fast in (rough, exact):
            fast.forward(tighten=True)
            margins.append(fast.margins(torch.arange(4), rows))
        lost = margins[1] - margins[0]
        spread = fast.reaches[-1].high - fast.reaches[-1].low
        assert bool((lost > -1e-9).all())
        assert float(lost.max()) < 0.01 * float(spread.max())
        for _ in range(200):
            near = x + radius * (2 * torch.rand_like(x) - 1).sign()
            for reach, value in zip(rough.reaches, values(rough.nodes, near), strict=True):
                assert bool((reach.low <= value).all())
                assert bool((value <= reach.high).all())


def test_bounds_are_far_tighter_than_intervals() -> None:
    model, x = small_cnn(nn.MaxPool2d(3, 2)), torch.rand(4, 2, 12, 12, dtype=torch.float64)
    fast = deviations(model, x, torch.float32, RADIUS)
    fast.forward(tighten=True)
    plain = interval_bounds(fast.nodes, box_around(x, RADIUS))
    ours, theirs = (reach.high - reach.low for reach in (fast.reaches[-2], plain[-2]))
    assert float(ours.mean()) < 0.7 * float(theirs.mean())


def test_many_samples_are_bounded_as_each_alone() -> None:
    model, x = small_cnn(nn.MaxPool2d(3, 2)).float(), torch.rand(11, 2, 12, 12)
    predicted = model(x).argmax(1)
    together = certificate(model, x, predicted, 0.01).certified
    alone = [
        certificate(model, x[i : i + 1], predicted[i : i + 1], 0.01).certified for i in range(11)
    ]
    assert 0 < int(together.sum()) < 11
    assert torch.equal(together, torch.cat(alone))

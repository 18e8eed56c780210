"""Corners of a box: exact for linear networks, and a slow twin for the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from byheart.measures.critical.bracket import CORNERS, corners
from byheart.measures.critical.lass import Box


def mlp(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)).double()


def corner_from(
    model: nn.Module, at: torch.Tensor, start: torch.Tensor, own: int, radius: float
) -> torch.Tensor:
    """Return the corner of the box around ``start`` that the margin at ``at`` points to."""
    point = at.clone().requires_grad_()
    logits = model(point[None])[0]
    values = logits.detach()
    rival = max((j for j in range(len(logits)) if j != own), key=lambda j: float(values[j]))
    (slope,) = torch.autograd.grad(logits[own] - logits[rival], point)
    return torch.tensor(
        [c - radius if s > 0 else c + radius for c, s in zip(start, slope, strict=True)]
    ).to(start)


def slow_corners(
    model: nn.Module, x: torch.Tensor, radius: float, rounds: int
) -> list[torch.Tensor | None]:
    """Return for each input the first corner on its way with another class; None if there is none.

    One input, one class and one coordinate at a time.
    """
    witnesses: list[torch.Tensor | None] = []
    for start in x:
        own = int(model(start[None]).argmax())
        at, witness = start, None
        for _ in range(rounds):
            at = corner_from(model, at, start, own, radius)
            if int(model(at[None]).argmax()) != own:
                witness = at
                break
        witnesses.append(witness)
    return witnesses


@pytest.mark.parametrize("radius", [0.08, 0.2, 0.4])
def test_corners_are_those_of_the_slow_twin(radius: float) -> None:
    model, x = mlp(3), torch.rand(80, 6, dtype=torch.float64)
    found, witness = corners(model, x, model(x).argmax(1), Box.around(x, radius))
    twin = slow_corners(model, x, radius, CORNERS)
    assert found.tolist() == [one is not None for one in twin]
    assert bool(found.any())
    for ours, start, one in zip(witness, x, twin, strict=True):
        torch.testing.assert_close(ours, start if one is None else one, atol=1e-12, rtol=0.0)


def test_one_corner_decides_where_the_network_is_linear_and_has_two_classes() -> None:
    torch.manual_seed(0)
    model, x, radius = nn.Linear(20, 2).double(), torch.rand(500, 20).double(), 0.05
    w = (model.weight[1] - model.weight[0]).detach()
    margin = (x @ w + model.bias[1] - model.bias[0]).abs()
    found, _ = corners(model, x, model(x).argmax(1), Box.around(x, radius))
    assert 0 < int(found.sum()) < 500
    assert torch.equal(found, margin < radius * w.abs().sum())


def test_every_witness_lies_in_its_box_and_no_gradient_is_left_behind() -> None:
    model, x = mlp(1).float(), torch.rand(50, 6)
    found, witness = corners(model, x, model(x).argmax(1), Box.around(x, 0.3))
    assert torch.equal(Box.around(x, 0.3).project(witness), witness)
    assert torch.equal(model(witness).argmax(1) != model(x).argmax(1), found)
    assert all(parameter.grad is None for parameter in model.parameters())

"""Work, not seconds: what a bracket costs in operations, against a search that only attacks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import byheart
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, Box

STEPS = 30


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def trained(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(60):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.requires_grad_(False)


def attack(model: nn.Module, x: torch.Tensor, radius: float) -> torch.Tensor:
    """Return which samples projected gradient descent from the predicted class breaks, bool [N]."""
    predicted, box, at = model(x).argmax(1), Box.around(x, radius), x
    for _ in range(STEPS):
        at = at.detach().requires_grad_()
        loss = functional.cross_entropy(model(at), predicted)
        (slope,) = torch.autograd.grad(loss, at)
        at = box.project(at + radius / 4 * slope.sign())
    return model(at).argmax(1) != predicted


@pytest.mark.parametrize(
    ("labels", "radius", "share"),
    [("real", 0.3 / 255, 0.25), ("random", 0.3 / 255, 0.5), ("real", 3 / 255, 0.5)],
)
def test_a_bracket_takes_fewer_operations_than_thirty_steps_of_an_attack(
    labels: str, radius: float, share: float
) -> None:
    digits = byheart.load_dataset("digits", size=1500, seed=0)
    x, searched = digits.x[:500], digits.x[500:]
    generator = torch.Generator().manual_seed(0)
    random = torch.randint(10, (500,), generator=generator)
    model = trained(x, digits.y[:500] if labels == "real" else random)
    with Operations() as theirs:
        broken = attack(model, searched, radius)
    with Operations() as ours:
        found = byheart.critical_samples(
            model,
            searched,
            radius=radius,
            step=STEP_PER_RADIUS * radius,
            noise=NOISE_PER_RADIUS * radius,
            max_steps=STEPS,
        )
    assert int(found.critical.sum()) >= int(broken.sum())
    assert not bool((found.certified & broken).any())
    assert ours.count < share * theirs.count, f"{ours.count / theirs.count:.3f}"

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import byheart

EPOCHS = 60


def trained(x: torch.Tensor, y: torch.Tensor, hidden: int) -> nn.Sequential:
    torch.manual_seed(1)
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU()]
    for _ in range(hidden - 1):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize("hidden", [1, 2])
def test_the_bracket_is_narrow_on_real_digits(
    hidden: int, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYHEART_DATA", str(mnist_root))
    digits = byheart.load_dataset("mnist", size=3000, seed=0)
    x, y, validation = digits.x[:1000], digits.y[:1000], digits.x[1000:]
    real = byheart.critical_samples(trained(x, y, hidden), validation)
    assert real.upper - real.lower <= 0.01
    random = torch.randint(10, (1000,), generator=torch.Generator().manual_seed(1))
    memorized = byheart.critical_samples(trained(x, random, hidden), validation)
    # The gap between the two networks stands whatever the undecided samples are.
    assert real.upper < memorized.lower
    assert memorized.upper - memorized.lower <= 0.03

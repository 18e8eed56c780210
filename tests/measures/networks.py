"""Small networks to measure: some that look trained, in float64, and some that are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def data(n: int, *shape: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (n,), generator=generator)


def filled(model: nn.Module, seed: int = 0, scale: float = 0.7) -> nn.Module:
    """Return the model in float64 with Gaussian parameters, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double()
    for parameter in model.parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = scale * values
    return model


def mlp(activation: type[nn.Module] = nn.ReLU, seed: int = 0, scale: float = 0.7) -> nn.Module:
    layers = nn.Sequential(
        nn.Linear(5, 6), activation(), nn.Linear(6, 4), activation(), nn.Linear(4, 3)
    )
    return filled(layers, seed, scale)


def convnet() -> nn.Module:
    """A small convolutional network with batch norm, pooling and dropout."""
    model = filled(
        nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 3),
        )
    )  # fmt: skip
    norm = model.get_submodule("1")
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3]))
    norm.running_var.copy_(torch.tensor([0.5, 1.5, 1.0]))
    return model


def trained(x: Tensor, y: Tensor, *, hidden: int, epochs: int, seed: int) -> nn.Sequential:
    """Return a network with two hidden layers that has fitted these examples of ten classes."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(x[0].numel(), hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.requires_grad_(False)

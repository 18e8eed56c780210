"""No certified sample may be refuted, however hard one tries."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import byheart
from byheart.measures.critical.certificate import certificate
from byheart.measures.critical.lass import Box, margin


def refuted(model: nn.Module, x: torch.Tensor, radius: float, seed: int) -> torch.Tensor:
    """Return which samples some attack reclassifies inside their box, bool [N]."""
    generator = torch.Generator().manual_seed(seed)
    box = Box.around(x, radius)
    predicted = model(x).argmax(-1)
    found = torch.zeros(len(x), dtype=torch.bool)
    for share, noise in ((1.0, 0.7), (0.2, 0.0)):  # of the radius: long steps and short ones
        search = byheart.critical_samples(
            model,
            x,
            radius=radius,
            step=share * radius,
            noise=noise * radius,
            max_steps=25,
            certify=False,
            seed=seed,
        )
        found |= search.critical
    for _ in range(2):  # from random corners, straight down the margin to each class
        start = torch.where(torch.rand(x.shape, generator=generator) < 0.5, box.low, box.high)
        found |= model(start).argmax(-1) != predicted
        for target in range(model(x).shape[-1]):
            point = start
            for _ in range(4):
                point = point.detach().requires_grad_()
                logits = model(point)
                own = logits.gather(1, predicted[:, None])[:, 0]
                (slope,) = torch.autograd.grad((own - logits[:, target]).sum(), point)
                point = torch.where(slope > 0, box.low, box.high)
                found |= model(point).argmax(-1) != predicted
    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(margin(model(point), predicted).sum(), point)
    found |= model(torch.where(slope > 0, box.low, box.high)).argmax(-1) != predicted
    return found


def attack(model: nn.Module, x: torch.Tensor, radius: float, seed: int, splits: int = 8) -> int:
    """Assert that no certified sample breaks; return how many are certified."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    proved = certificate(model, x, model(x).argmax(1), radius, splits=splits)
    assert proved.uncertified_layer is None
    assert not bool((proved.certified & proved.refuted).any())
    certified = x[proved.certified]
    assert not len(certified) or not bool(refuted(model, certified, radius, seed).any())
    return len(certified)


def mlp(widths: list[int], classes: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    inside = 6
    for width in widths:
        layers.append(nn.Linear(inside, width))
        if norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        inside = width
    return nn.Sequential(*layers, nn.Linear(inside, classes))


class Normalise(nn.Module):
    """Inputs with the statistics that a data set has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.6]).view(2, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3]).view(2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


def convnet(
    channels: int,
    pool: nn.Module,
    norm: bool,
    groups: int,
    stride: int,
    bend: nn.Module | None = None,
) -> nn.Module:
    bend = bend or nn.ReLU()
    body = nn.Sequential(
        Normalise() if norm else nn.Identity(),
        nn.Conv2d(2, channels, 3, padding=1, stride=stride, groups=groups),
        nn.BatchNorm2d(channels) if norm else nn.Identity(),
        bend,
        pool,
        nn.Conv2d(channels, 4, 2, padding=1),
        bend,
        nn.Flatten(),
    )
    size = body.eval()(torch.zeros(1, 2, 6, 6)).shape[1]
    head = [nn.Linear(size, 8), bend, nn.Linear(8, 3)]
    return nn.Sequential(body, nn.Dropout(0.5), *head)


class Residual(nn.Module):
    """Adds what its layers do to its input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.body(x)
        out += x
        return functional.relu(out)


def resnet(channels: int, norm: bool) -> nn.Module:
    def block() -> nn.Module:
        return Residual(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels) if norm else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    return nn.Sequential(
        nn.Conv2d(2, channels, 3, stride=2, padding=1),
        block(),
        block(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 3),
    )


def settle(model: nn.Module, x: torch.Tensor) -> None:
    """Give batch norm running statistics other than 0 and 1."""
    model.train()
    for _ in range(3):
        model(x)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 12), max_size=3),
    classes=st.integers(2, 5),
    norm=st.booleans(),
    radius=st.sampled_from([1e-4, 0.003, 0.03, 0.3]),
    double=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_no_certified_sample_of_a_random_mlp_is_ever_broken(
    widths: list[int], classes: int, norm: bool, radius: float, double: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    model, x = mlp(widths, classes, norm), torch.rand(24, 6)
    settle(model, x)
    if double:
        model, x = model.double(), x.double()
    attack(model, x, radius, seed)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([2, 4, 6]),
    pool=st.sampled_from(
        [
            nn.MaxPool2d(2),
            nn.MaxPool2d(3, stride=2),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.MaxPool2d(2, stride=1, dilation=2),
            nn.AvgPool2d(2, padding=1, count_include_pad=False),
            nn.Identity(),
        ]
    ),
    norm=st.booleans(),
    groups=st.sampled_from([1, 2]),
    stride=st.sampled_from([1, 2]),
    bend=st.sampled_from([nn.ReLU(), nn.LeakyReLU(0.2), nn.GELU(), nn.Tanh()]),
    radius=st.sampled_from([1e-4, 0.003, 0.02, 0.2]),
    seed=st.integers(0, 2**16),
)
def test_no_certified_sample_of_a_random_convnet_is_ever_broken(
    channels: int,
    pool: nn.Module,
    norm: bool,
    groups: int,
    stride: int,
    bend: nn.Module,
    radius: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model, x = convnet(channels, pool, norm, groups, stride, bend), torch.rand(12, 2, 6, 6)
    settle(model, x)
    attack(model, x, radius, seed)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([2, 4]),
    norm=st.booleans(),
    radius=st.sampled_from([0.003, 0.03, 0.2]),
    seed=st.integers(0, 2**16),
)
def test_no_certified_sample_of_a_random_residual_network_is_ever_broken(
    channels: int, norm: bool, radius: float, seed: int
) -> None:
    torch.manual_seed(seed)
    model, x = resnet(channels, norm), torch.rand(12, 2, 6, 6)
    settle(model, x)
    attack(model, x, radius, seed)


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> None:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("labels", ["real", "random"])
@pytest.mark.parametrize("kind", ["mlp", "max", "average", "smooth", "residual"])
def test_no_certified_sample_of_a_trained_network_is_ever_broken(kind: str, labels: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(30, 6) if kind == "mlp" else torch.rand(30, 2, 6, 6)
    y = (x.flatten(1)[:, :3]).argmax(1) if labels == "real" else torch.randint(3, (30,))
    pool = nn.MaxPool2d(3, 2) if kind == "max" else nn.AvgPool2d(2)
    bend = nn.SiLU() if kind == "smooth" else nn.ReLU()
    if kind == "mlp":
        model: nn.Module = mlp([32, 32], 3, True)
    else:
        model = resnet(4, True) if kind == "residual" else convnet(6, pool, True, 1, 1, bend)
    train(model, x, y, 100)
    counts = [attack(model, x, radius, 0, splits=10) for radius in (0.002, 0.02)]
    assert counts[0] > 15, "the certificate settles most samples of a small box"
    assert bool(refuted(model, x[:20], 0.1, 0).any()), "the attacks break some in a large one"

"""Factories as users write them: good ones of every kind, and every way to be wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CALLS = 0


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """A residual block with batch norm, on images without a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x[:, None]))
        h = torch.relu(h + self.norm(self.second(h)))
        return self.last(h.mean((2, 3)))


class Branching(nn.Module):
    """Control flow that depends on the data, which vmap cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.layers(x)
        return logits if logits.sum() > 0 else 2 * logits


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 10)
    )


class Projecting(nn.Module):
    """Random features that are neither parameter nor buffer, and so cannot be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.randn(64, 12)
        self.layer = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(x.flatten(1) @ self.features.to(x)))


class Averaging(nn.Module):
    """A buffer that is put in the place of another, not written into."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("mean", torch.zeros(10))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.layer(x.flatten(1))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * logits.mean(0).detach()
        return logits - self.mean


class Tied(nn.Module):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
        self.two.weight = self.one.weight
        self.last = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))


class Scaled(nn.Module):
    """A parameter that is a single number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layers(x)


def frozen() -> nn.Module:
    model = mlp()
    model[1].requires_grad_(False)
    return model


def too_few_outputs() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))


def of_another_shape() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


class _Returning(nn.Module):
    """Returns its logits within something else."""

    def __init__(self, put: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layers = mlp()
        self.put = put

    def forward(self, x: Tensor) -> Any:
        return self.put(self.layers(x))


@dataclass
class ModelOutput:
    logits: Tensor
    loss: Tensor | None = None


def a_pair() -> nn.Module:
    return _Returning(lambda logits: (logits, logits[:, :3]))


def a_loss_first() -> nn.Module:
    return _Returning(lambda logits: (logits.sum(), logits))


def a_dict() -> nn.Module:
    return _Returning(lambda logits: {"hidden": logits[:, :3], "logits": logits})


def a_model_output() -> nn.Module:
    return _Returning(ModelOutput)


def a_word() -> nn.Module:
    return _Returning(lambda logits: "cat")


class _Backbone(nn.Module):
    """Pretrained: the same weights in every call; the head is new, and the inputs are scaled."""

    def __init__(self, *, frozen: bool) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(7)
        self.body = nn.Linear(64, 12)
        with torch.no_grad():
            for parameter in self.body.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
        self.body.requires_grad_(not frozen)
        self.head = nn.Linear(12, 10)
        self.register_buffer("mean", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body((x.flatten(1) - self.mean) / 0.25)))


def pretrained() -> nn.Module:
    return _Backbone(frozen=False)


def pretrained_and_frozen() -> nn.Module:
    return _Backbone(frozen=True)


def large_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(),
        nn.Linear(16 * 14 * 14, 10),
    )  # fmt: skip


class _Viewing(nn.Module):
    """As many networks of users: ``view`` needs the channels where PyTorch puts them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = large_convolutions()[:3]
        self.head = nn.Linear(16 * 14 * 14, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return self.head(x.view(x.size(0), -1))


def viewing() -> nn.Module:
    return _Viewing()


class _Logarithm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x - 1)


def returns_nan() -> nn.Module:
    return nn.Sequential(mlp(), _Logarithm())


class _Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def noisy_in_eval() -> nn.Module:
    return nn.Sequential(mlp(), _Noise())


class _PythonNoise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * random.random() if self.training else x


def noise_of_python() -> nn.Module:
    return nn.Sequential(mlp(), _PythonNoise())


class _FailsInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("no auxiliary head. A second sentence.")
        return x


def fails_in_training() -> nn.Module:
    return nn.Sequential(mlp(), _FailsInTraining())


def no_parameters() -> nn.Module:
    return nn.Flatten()


def nothing_trained() -> nn.Module:
    return mlp().requires_grad_(False)


ONCE = mlp()


def the_same_object() -> nn.Module:
    return ONCE


def the_same_backbone() -> nn.Module:
    return nn.Sequential(ONCE, nn.Linear(10, 10))


def the_same_weights() -> nn.Module:
    torch.manual_seed(0)
    return mlp()


def weights_of_numpy() -> nn.Module:
    model = mlp()
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(np.random.default_rng().normal(size=(12, 64))))
    return model


def of_changing_width() -> nn.Module:
    global CALLS
    CALLS += 1
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CALLS), nn.Linear(CALLS, 10))


def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))


def wants_an_argument(width: int) -> nn.Module:
    return nn.Linear(width, 10)


def returns_a_number() -> int:
    return 7


not_callable = 3

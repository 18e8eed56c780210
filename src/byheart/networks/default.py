"""The network that trains where a user names none: chosen by the kind of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from byheart.networks.foreign import Source, called

UNITS = 256
"""Units of the hidden layer of the multilayer perceptron."""
SMALL, LARGE = (16, 32), (16, 32, 64)
"""Channels of the residual network, for small images and for larger ones."""
LARGE_SIDE = 16
"""Shorter side, in pixels, from which an image is large."""
STEM_SIDE = 32
"""Longest side of the first feature map."""


class Described(Protocol):
    """What a data set says of its examples."""

    @property
    def kind(self) -> str:
        """What an example is: "images", "table" or "text"."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        ...

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        ...


@dataclass(frozen=True)
class DefaultNetwork:
    """A factory of networks for one kind of data.

    Attributes:
        kind: "images", "table" or "text".
        shape: shape of one input.
        classes: number of outputs.
    """

    kind: str
    shape: tuple[int, ...]
    classes: int

    def __call__(self) -> nn.Module:
        """Return a fresh network."""
        inputs = math.prod(self.shape)
        if self.kind == "text":
            return nn.Sequential(nn.Flatten(), nn.Linear(inputs, self.classes))
        if self.kind == "images":
            return residual_network(self._image, self.classes)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, UNITS), nn.ReLU(), nn.Linear(UNITS, self.classes)
        )

    def __str__(self) -> str:
        """Return the network in words."""
        if self.kind == "text":
            return "a linear network on n-grams"
        if self.kind == "images":
            channels = ", ".join(map(str, channels_for(self._image)))
            return f"a residual network with {channels} channels"
        return f"a multilayer perceptron with one layer of {UNITS} units"

    @property
    def _image(self) -> tuple[int, int, int]:
        """Channels, height and width of an input."""
        *channels, height, width = self.shape
        return math.prod(channels), height, width


def default_network(dataset: Described) -> DefaultNetwork:
    """Return the factory for a data set."""
    return DefaultNetwork(dataset.kind, dataset.shape, dataset.n_classes)


def named(source: Source) -> str:
    """Return what a page calls the network that a source makes."""
    if isinstance(source, DefaultNetwork):
        return f"{source} (byheart's default)"
    if isinstance(source, str):
        return source
    return called(source).removeprefix("model_factory ")


def channels_for(image: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the channels of the residual network for images of channels, height and width."""
    return LARGE if min(image[1:]) >= LARGE_SIDE else SMALL


def residual_network(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Return a small residual network.

    A convolution, then one block per further number of channels, each at half the resolution, then
    the mean over all places and a linear layer.

    Args:
        image: channels, height and width of an input.
        classes: number of outputs.

    Source: He et al. (2016), "Deep residual learning", section 4.2, with one block per stage.
    """
    first, *further = channels_for(image)
    stride = max(1, round(max(image[1:]) / STEM_SIDE))
    layers: list[nn.Module] = [
        Images(image),
        nn.Conv2d(image[0], first, 3, stride, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
    ]
    for channels in further:
        layers.append(Block(first, channels))
        first = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(first, classes))


class Images(nn.Module):
    """Brings inputs of any shape to [N, channels, height, width]."""

    def __init__(self, image: Sequence[int]) -> None:
        super().__init__()
        self.image = tuple(image)

    def extra_repr(self) -> str:
        """Return the shape: it is part of the network's fingerprint."""
        return str(self.image)

    def forward(self, x: Tensor) -> Tensor:
        """Return the inputs as images."""
        return x.reshape(x.shape[0], *self.image)


class Block(nn.Module):
    """Two convolutions with batch norm beside a projection; halves the resolution.

    Args:
        before: channels of the input.
        channels: channels of the output.
    """

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.project = nn.Sequential(
            nn.Conv2d(before, channels, 1, 2, bias=False), nn.BatchNorm2d(channels)
        )
        self.end = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, rectified."""
        total: Tensor = self.end(self.layers(x) + self.project(x))
        return total

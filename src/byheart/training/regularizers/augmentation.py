"""Augmentation of images: shift, flip, cutout and colour."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from byheart.networks.base import PackNetwork
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer, Snippet
from byheart.training.regularizers.noise import RowNoise


class _Augmentation(Regularizer):
    """Changes images by a few uniform random numbers each."""

    numbers: ClassVar[int] = 2

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        assert task.image is not None
        self.image = task.image
        self.noise = RowNoise(seeds, self.name, "uniform", self.numbers, like)

    @classmethod
    def obstacle(cls, task: LearningTask) -> str:
        """Return why it cannot be applied; empty if it can."""
        if task.image is not None:
            return ""
        shape = ", ".join(map(str, task.shape))
        return f"inputs of shape [{shape}] are no images: [H, W], or [C, H, W] with 1, 3 or 4 C"

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self.noise.start_epoch(epoch)

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with other images."""
        replicas, size, width = batch.x.shape
        images = batch.x.view(replicas, size, *self.image)
        changed = self.augment(images, self.noise.take(size))
        return replace(batch, x=changed.reshape(replicas, size, width))

    @abstractmethod
    def augment(self, images: Tensor, u: Tensor) -> Tensor:
        """Return other images [R, B, C, H, W], by uniform random numbers u [R, B, numbers]."""

    @classmethod
    def pixels(cls, task: LearningTask, shares: Sequence[float]) -> tuple[float, ...]:
        """Return shares of an image's shorter side, in whole pixels, each once."""
        assert task.image is not None
        side = min(task.image[1:])
        return tuple(sorted({float(max(1, round(share * side))) for share in shares}))


class Shift(_Augmentation):
    r"""Images moved by up to c pixels in each direction; zeros come in from outside.

    Formula: (dy, dx) uniform on {-c, ..., c}^2 for every image: crops of one that is padded by c.

    Source: He et al. (2016), section 4.2 (c = 4 of 32).
    """

    name = "shift"
    symbol = "c"

    @classmethod
    def grid(cls, task: LearningTask) -> tuple[float, ...]:
        """Return the pixels to try."""
        return cls.pixels(task, (1 / 16, 1 / 8, 1 / 4))

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        c = round(strength)
        return Snippet(
            batch=f"""
            height, width = x.shape[-2:]
            padded = functional.pad(x, ({c}, {c}, {c}, {c}))
            moves = torch.randint({2 * c + 1}, (len(x), 2)).tolist()
            x = torch.stack([
                image[..., i : i + height, j : j + width] for image, (i, j) in zip(padded, moves)
            ])
            """
        )

    def augment(self, images: Tensor, u: Tensor) -> Tensor:
        """Return the images, moved."""
        most = self.per_replica(3)
        by = torch.floor(u * (2 * most + 1)).minimum(2 * most) - most
        down, right = by.long().unbind(2)
        return _moved(_moved(images, down, 3), right, 4)


class Flip(_Augmentation):
    r"""Images mirrored from left to right with probability p.

    Source: Krizhevsky, Sutskever & Hinton (2012), section 4.1.
    """

    name = "flip"
    symbol = "p"
    numbers = 1
    strengths_to_try = (0.25, 0.5)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            batch=f"""
            flipped = torch.rand(len(x)) < {strength:g}
            x = torch.where(flipped.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)
            """
        )

    def augment(self, images: Tensor, u: Tensor) -> Tensor:
        """Return the images, some of them mirrored."""
        flipped = (u < self.per_replica(3)).view(*u.shape[:2], 1, 1, 1)
        return torch.where(flipped, images.flip(4), images)


class Cutout(_Augmentation):
    r"""A square of c by c pixels set to zero, centred anywhere, cut off at the border.

    Source: DeVries & Taylor (2017), section 3 and their ``cutout.py``.
    """

    name = "cutout"
    symbol = "c"

    @classmethod
    def grid(cls, task: LearningTask) -> tuple[float, ...]:
        """Return the pixels to try; the authors take 16 and 8 of 32."""
        return cls.pixels(task, (1 / 4, 1 / 2, 3 / 4))

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        c = round(strength)
        return Snippet(
            batch=f"""
            x = x.clone()
            for image in x:
                i, j = (int(torch.randint(side, ())) for side in image.shape[-2:])
                rows, columns = (slice(max(0, k - {c // 2}), k + {c - c // 2}) for k in (i, j))
                image[..., rows, columns] = 0
            """
        )

    def augment(self, images: Tensor, u: Tensor) -> Tensor:
        """Return the images, each with a hole."""
        _, height, width = self.image
        inside = [self._covered(u[:, :, at], side) for at, side in enumerate((height, width))]
        hole = inside[0].unsqueeze(3) & inside[1].unsqueeze(2)
        return images.masked_fill(hole.unsqueeze(2), 0.0)

    def _covered(self, u: Tensor, side: int) -> Tensor:
        """Return which of the rows, or columns, each hole covers: bool [R, B, side]."""
        centre = torch.floor(u * side).clamp_max(side - 1).unsqueeze(2)
        half = torch.floor(self.per_replica(3) / 2)
        at = torch.arange(side, device=u.device, dtype=u.dtype)
        # From centre - c // 2 up to centre + c // 2, without its end, as the authors slice; an odd
        # c would lose a row that way, so that its hole goes on to the end.
        upper = self.per_replica(3) - half
        return (at >= centre - half) & (at < centre + upper)


class Colour(_Augmentation):
    r"""Images with another brightness, contrast and saturation.

    Formula: x <- b x; x <- m + c (x - m), with m the mean of the image; x <- g + s (x - g), with g
    the mean over the channels of a pixel, for images with colours; b, c and s uniform on
    [1 - d, 1 + d] for every image.

    Source: Howard (2013), "Some improvements on deep convolutional neural network based image
    classification", section 2.
    """

    name = "colour"
    symbol = "d"
    numbers = 3
    strengths_to_try = (0.1, 0.2, 0.4)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            batch=f"""
            b, c, s = 1 + {strength:g} * (2 * torch.rand(3, len(x), *[1] * (x.dim() - 1)) - 1)
            x = b * x
            mean = x.flatten(1).mean(1).view(-1, *[1] * (x.dim() - 1))
            x = mean + c * (x - mean)
            if x.dim() == 4:
                grey = x.mean(1, keepdim=True)
                x = grey + s * (x - grey)
            """
        )

    def augment(self, images: Tensor, u: Tensor) -> Tensor:
        """Return the images, with other colours."""
        factors = 1 + self.per_replica(3) * (2 * u - 1)
        brightness, contrast, saturation = factors.view(*u.shape, 1, 1, 1).unbind(2)
        images = brightness * images
        mean = images.mean((2, 3, 4), keepdim=True)
        images = mean + contrast * (images - mean)
        grey = images.mean(2, keepdim=True)
        return grey + saturation * (images - grey) if self.image[0] > 1 else images


def _moved(images: Tensor, by: Tensor, dim: int) -> Tensor:
    """Return images [R, B, C, H, W] moved along a dimension by whole pixels [R, B]."""
    side = images.shape[dim]
    wanted = torch.arange(side, device=images.device) - by.unsqueeze(2)
    shape = [*by.shape, 1, 1, 1]
    shape[dim] = side
    there = ((wanted >= 0) & (wanted < side)).view(shape)
    index = wanted.clamp(0, side - 1).view(shape).expand(images.shape)
    return images.gather(dim, index) * there

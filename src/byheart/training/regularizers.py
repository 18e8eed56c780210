"""Dropout and Gaussian noise on the inputs and on the hidden layers of a pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from byheart.training.row_noise import RowNoise
from byheart.trial import Algorithm


class InputNoise:
    r"""Gaussian noise and dropout on inputs, by strengths per replica.

    Formula: x <- m (x + sigma e) / (1 - p) with e ~ N(0, 1) and m ~ Bernoulli(1 - p), drawn anew
    for every replica, example, coordinate and epoch. It needs nothing of the network.

    Source: A17 Figure 10; Sietsma & Dow (1991) for noise; Srivastava et al. (2014) for dropout,
    scaled while training so that nothing changes in evaluation.
    """

    def __init__(
        self, algorithms: Sequence[Algorithm], seeds: Sequence[int], inputs: int, like: Tensor
    ) -> None:
        self._noise = _noise(
            "input noise", [a.input_noise for a in algorithms], seeds, inputs, like
        )
        self._mask = _mask(
            "input dropout", [a.input_dropout for a in algorithms], seeds, inputs, like
        )

    @classmethod
    def of(
        cls, algorithms: Sequence[Algorithm], seeds: Sequence[int], inputs: int, like: Tensor
    ) -> InputNoise | None:
        """Return the noise of a pack, or None if no replica has any.

        Args:
            algorithms: one per replica.
            seeds: one per replica.
            inputs: numbers per example.
            like: gives the type and device.
        """
        used = any(a.input_noise > 0 or a.input_dropout > 0 for a in algorithms)
        return cls(algorithms, seeds, inputs, like) if used else None

    def start_epoch(self, epoch: int) -> None:
        """Begin the noise of an epoch, counted from 0."""
        for rows in (self._noise, self._mask):
            if rows is not None:
                rows.start_epoch(epoch)

    def __call__(self, x: Tensor) -> Tensor:
        """Return inputs [R, B, D] with the noise of the next B examples of the epoch."""
        if self._noise is not None:
            x = x + self._noise.take(x.shape[1])
        if self._mask is not None:
            x = x * self._mask.take(x.shape[1])
        return x


class HiddenNoise:
    r"""Gaussian noise and dropout on hidden layers after the ReLU, by strengths per replica.

    Formula: h <- m (h + sigma e) / (1 - p), as for :class:`InputNoise`, for every unit.

    Source: A17 Figure 10; Poole et al. (2014) for noise; Srivastava et al. (2014) for dropout.
    """

    def __init__(
        self,
        algorithms: Sequence[Algorithm],
        seeds: Sequence[int],
        widths: Sequence[int],
        like: Tensor,
    ) -> None:
        self._widths = list(widths)
        units = sum(widths)
        self._noise = _noise(
            "hidden noise", [a.hidden_noise for a in algorithms], seeds, units, like
        )
        self._mask = _mask("dropout", [a.dropout for a in algorithms], seeds, units, like)

    @classmethod
    def of(
        cls,
        algorithms: Sequence[Algorithm],
        seeds: Sequence[int],
        widths: Sequence[int],
        like: Tensor,
    ) -> HiddenNoise | None:
        """Return the noise of a pack, or None if no replica has any or there is no hidden layer.

        Args:
            algorithms: one per replica.
            seeds: one per replica.
            widths: units of each hidden layer.
            like: gives the type and device.
        """
        used = any(a.hidden_noise > 0 or a.dropout > 0 for a in algorithms)
        return cls(algorithms, seeds, widths, like) if used and widths else None

    def start_epoch(self, epoch: int) -> None:
        """Begin the noise of an epoch, counted from 0."""
        for rows in (self._noise, self._mask):
            if rows is not None:
                rows.start_epoch(epoch)

    def take(self, count: int) -> list[Disturbance]:
        """Return what happens to each hidden layer at the next ``count`` examples."""
        layers = len(self._widths)
        noise, mask = (
            [None] * layers if rows is None else torch.split(rows.take(count), self._widths, dim=2)
            for rows in (self._noise, self._mask)
        )
        return [Disturbance(*pair) for pair in zip(noise, mask, strict=True)]


class Disturbance:
    """Noise [R, B, units] that is added to a layer, and the mask that then multiplies it."""

    def __init__(self, noise: Tensor | None, mask: Tensor | None) -> None:
        self.noise = noise
        self.mask = mask

    def apply(self, h: Tensor) -> Tensor:
        """Return the layer [R, B, units] after the ReLU, disturbed; ``h`` itself is left alone."""
        if self.noise is not None:
            h = h + self.noise
        return h if self.mask is None else h * self.mask

    def back(self, delta: Tensor) -> Tensor:
        """Return the derivative before the disturbance from that after it, both [R, B, units]."""
        return delta if self.mask is None else delta.mul_(self.mask)


def column(values: Sequence[float], like: Tensor) -> Tensor:
    """Return one number per replica as a tensor [R, 1, 1]."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)


def _noise(
    purpose: str, deviations: list[float], seeds: Sequence[int], width: int, like: Tensor
) -> RowNoise | None:
    if not any(deviations):
        return None
    scale = column(deviations, like)
    return RowNoise(seeds, purpose, "normal", width, lambda z: z.mul_(scale), like)


def _mask(
    purpose: str, rates: list[float], seeds: Sequence[int], width: int, like: Tensor
) -> RowNoise | None:
    if not any(rates):
        return None
    return RowNoise(seeds, purpose, "uniform", width, _keep(rates, like), like)


def _keep(rates: list[float], like: Tensor) -> Callable[[Tensor], Tensor]:
    rate = column(rates, like)
    scale = column([1 / (1 - rate) for rate in rates], like)
    return lambda u: (u >= rate).to(u.dtype).mul_(scale)

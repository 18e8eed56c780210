"""What the engine asks of a pack of networks, whatever they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from torch import Tensor, nn


class PackNetwork(Protocol):
    """R networks of one architecture, evaluated as one program."""

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in eval mode.

        Args:
            x: inputs [R, N, D], each example flattened, or [N, D] shared by all replicas.
        """
        ...

    def select(self, replicas: Tensor) -> Self:
        """Return a copy of some replicas, by index or mask."""
        ...

    def finite(self) -> Tensor:
        """Return for each replica whether all its parameters are finite, bool [R]."""
        ...

    def module(self, replica: int) -> nn.Module:
        """Return one replica as an ordinary module in eval mode, with copies of its parameters.

        It takes inputs [N, *shape] in the shape of the source.
        """
        ...


class TrainableNetwork(PackNetwork, Protocol):
    """A pack whose gradients come from autograd."""

    def parameters(self) -> Sequence[Tensor]:
        """Return the trained parameters, each [R, ...]; the optimizer updates them in place."""
        ...

    def untrained_tensors(self) -> Sequence[Tensor]:
        """Return buffers and frozen parameters, each [R, ...]."""
        ...

    def perturb_hidden(self, shift: Tensor | None, scale: Tensor | None) -> None:
        """Shift and then scale hidden units, each [R, B, units], in the next training batch."""
        ...

    def training_logits(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in train mode, and update running statistics.

        Args:
            x: inputs [R, N, D].
        """
        ...

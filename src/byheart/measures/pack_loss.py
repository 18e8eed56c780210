"""The training losses of a pack as functions of its parameters: gradients, Hessian products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from byheart.measures.mlp_loss import MLPLoss
from byheart.measures.pack_data import PackData
from byheart.networks.base import PackNetwork, TrainableNetwork
from byheart.networks.mlp import ReplicatedMLP


class PackLoss(Protocol):
    """R mean cross-entropies L_r around the parameters theta_r that the replicas have now.

    Attributes:
        theta: [R, P] the trainable parameters of each replica, concatenated.
    """

    theta: Tensor

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return by how much dL_r / dtheta_r changes from theta_r to theta_r + shift_r, [R, P].

        Args:
            shift: [R, P].
            columns: int64, the examples to average over, instead of all.
        """
        ...

    def gradient(self) -> Tensor:
        """Return dL_r / dtheta_r, [R, P]."""
        ...

    def product(self, vectors: Tensor) -> Tensor:
        """Return H_r v_r, the Hessian of each replica's loss times a vector, [R, P].

        Exact up to rounding. Where the loss has a kink (a ReLU at 0) its Hessian is that of the
        piece which the backward pass takes. Values that are not finite are passed on.
        """
        ...

    def select(self, replicas: Tensor) -> Self:
        """Return the losses of some replicas, by index."""
        ...


def pack_loss(network: PackNetwork, data: PackData, *, chunk: int) -> PackLoss:
    """Return the training losses of a pack, by the fastest way there is for its architecture.

    Args:
        network: the replicas, in eval mode; none of their parameters is written to.
        data: their training examples.
        chunk: examples of each replica in memory at once.

    Raises:
        NotImplementedError: a network without parameters to differentiate by.
    """
    if isinstance(network, ReplicatedMLP):
        return MLPLoss(network, data, chunk=chunk)
    if hasattr(network, "parameters"):
        return AutogradLoss(cast(TrainableNetwork, network), data, chunk=chunk)
    raise NotImplementedError(type(network).__name__)


class AutogradLoss:
    """The losses of any pack whose forward pass autograd can differentiate twice.

    Formula: H v = d/dtheta (dL/dtheta . v). Replicas share no parameter, so that the sum of their
    losses has a block-diagonal Hessian, and one double backward pass serves all.

    Args:
        network: the replicas.
        data: their training examples.
        chunk: examples of each replica in memory at once.
    """

    def __init__(self, network: TrainableNetwork, data: PackData, *, chunk: int) -> None:
        # A copy: its parameters are asked for gradients, and shifted.
        self._network = network.select(torch.arange(network.replicas))
        self._data, self._chunk = data, chunk
        self._values = [p.detach().clone() for p in self._network.parameters()]
        self.theta = _flat(self._values)

    def select(self, replicas: Tensor) -> AutogradLoss:
        """Return the losses of some replicas; see :class:`PackLoss`."""
        chosen = self._network.select(replicas)
        return AutogradLoss(chosen, self._data.select(replicas), chunk=self._chunk)

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return changes of the gradients; see :class:`PackLoss`."""
        parameters = list(self._network.parameters())
        here = self._gradient(parameters, columns)
        parts = self._split(shift)
        for parameter, value, part in zip(parameters, self._values, parts, strict=True):
            parameter.data.copy_(value + part)
        there = self._gradient(parameters, columns)
        for parameter, value in zip(parameters, self._values, strict=True):
            parameter.data.copy_(value)
        return there - here

    def gradient(self) -> Tensor:
        """Return the gradients; see :class:`PackLoss`."""
        return self._gradient(list(self._network.parameters()), None)

    def _gradient(self, parameters: list[Tensor], columns: Tensor | None) -> Tensor:
        total = torch.zeros_like(self.theta)
        for loss in self._losses(parameters, columns):
            total += _flat(torch.autograd.grad(loss, parameters, materialize_grads=True))
        return total

    def product(self, vectors: Tensor) -> Tensor:
        """Return Hessian products; see :class:`PackLoss`."""
        parameters = list(self._network.parameters())
        parts = self._split(vectors)
        total = torch.zeros_like(self.theta)
        with torch.enable_grad():
            for loss in self._losses(parameters, None):
                slopes = torch.autograd.grad(
                    loss, parameters, create_graph=True, materialize_grads=True
                )
                along = torch.stack([(g * v).sum() for g, v in zip(slopes, parts, strict=True)])
                if along.requires_grad:
                    again = torch.autograd.grad(along.sum(), parameters, materialize_grads=True)
                    total += _flat(again)
        return total

    def _losses(self, parameters: list[Tensor], columns: Tensor | None) -> Iterator[Tensor]:
        """Yield each chunk's share of the sum over replicas of their mean losses."""
        for parameter in parameters:
            parameter.requires_grad_()
        count = self._data.y.shape[1] if columns is None else len(columns)
        for start in range(0, count, self._chunk):
            chosen: slice | Tensor = slice(start, start + self._chunk)
            if columns is not None:
                chosen = columns[chosen]
            x, y = self._data.columns(chosen)
            with torch.enable_grad():
                logits = self._network(x).flatten(0, 1)
                yield functional.cross_entropy(logits, y.flatten(), reduction="sum") / count

    def _split(self, vectors: Tensor) -> list[Tensor]:
        parts = torch.split(vectors, [value[0].numel() for value in self._values], dim=1)
        return [p.reshape(v.shape) for p, v in zip(parts, self._values, strict=True)]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    # A parameter may be a single number, and then has no second axis to flatten from.
    return torch.cat([tensor.detach().reshape(len(tensor), -1) for tensor in tensors], dim=1)

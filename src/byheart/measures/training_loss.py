"""The training losses of a pack as functions of its parameters: gradients, Hessian products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

from byheart.errors import InputError
from byheart.networks.base import PackNetwork


@dataclass(frozen=True)
class PackData:
    """The training examples of R replicas, which share their inputs.

    Attributes:
        pool: [P, *shape] distinct inputs.
        rows: int64 [R, N] rows of the pool.
        y: int64 [R, N] labels.
    """

    pool: Tensor
    rows: Tensor
    y: Tensor

    def select(self, replicas: Tensor) -> PackData:
        """Return the examples of some replicas, by index."""
        return PackData(self.pool, self.rows[replicas], self.y[replicas])

    def columns(self, chosen: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [R, B, *shape] and labels [R, B] of some examples of every replica."""
        rows = self.rows[:, chosen]
        x = self.pool.index_select(0, rows.reshape(-1))
        return x.view(*rows.shape, *self.pool.shape[1:]), self.y[:, chosen]

    def chunks(self, size: int, columns: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs [R, B, *shape] and labels [R, B], at most ``size`` examples at a time.

        Args:
            size: examples of each replica per chunk.
            columns: int64, the examples to yield; all of them if None.
        """
        count = self.y.shape[1] if columns is None else len(columns)
        for start in range(0, count, size):
            chosen = slice(start, start + size)
            yield self.columns(chosen if columns is None else columns[chosen])


class PackLoss(Protocol):
    """R mean cross-entropies L_r at the parameters theta_r of the replicas.

    Attributes:
        theta: [R, P] the trainable parameters of each replica, concatenated.
    """

    theta: Tensor

    def gradient(self) -> Tensor:
        """Return dL_r / dtheta_r, [R, P]."""
        ...

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return the gradient at theta_r + shift_r minus that at theta_r, [R, P].

        Args:
            shift: [R, P].
            columns: int64, the examples to average over; all of them if None.
        """
        ...

    def product(self, vectors: Tensor) -> Tensor:
        """Return H_r v_r, the Hessian of each replica's loss times a vector, [R, P].

        It is exact up to rounding. Where the loss has a kink (a ReLU at 0), the Hessian is that of
        the piece which the backward pass takes. Values that are not finite are passed on.
        """
        ...

    def select(self, replicas: Tensor) -> Self:
        """Return the losses of some replicas, by index."""
        ...


class DifferentiableNetwork(PackNetwork, Protocol):
    """A pack whose forward pass autograd can differentiate."""

    def parameters(self) -> Sequence[Tensor]:
        """Return what the loss depends on, each [R, ...]."""
        ...


class AutogradLoss:
    """The losses of any pack whose forward pass autograd can differentiate twice.

    Formula: H v = d/dtheta (dL/dtheta . v). Replicas share no parameter, so the sum of their losses
    has a block-diagonal Hessian, and one double backward pass serves all of them. Where all
    examples fit into one chunk, the graph of the gradient is kept from product to product.

    Args:
        network: the replicas; none of their parameters is written to.
        data: their training examples.
        chunk: examples of each replica in memory at once.
    """

    def __init__(self, network: DifferentiableNetwork, data: PackData, *, chunk: int) -> None:
        # A copy: its parameters are asked for gradients, and shifted.
        self._network = network.select(torch.arange(network.replicas))
        self._data, self._chunk = data, chunk
        self._values = [p.detach().clone() for p in self._network.parameters()]
        self.theta = _flat(self._values)
        self._kept: Sequence[Tensor] | None = None

    def select(self, replicas: Tensor) -> AutogradLoss:
        """Return the losses of some replicas; see :class:`PackLoss`."""
        chosen = self._network.select(replicas)
        return AutogradLoss(chosen, self._data.select(replicas), chunk=self._chunk)

    def gradient(self) -> Tensor:
        """Return the gradients; see :class:`PackLoss`."""
        return self._gradient(None)

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return changes of the gradients; see :class:`PackLoss`."""
        here = self._gradient(columns)
        parameters = self._network.parameters()
        for p, value, part in zip(parameters, self._values, self._split(shift), strict=True):
            p.data.copy_(value + part)
        there = self._gradient(columns)
        for p, value in zip(parameters, self._values, strict=True):
            p.data.copy_(value)
        return there - here

    def product(self, vectors: Tensor) -> Tensor:
        """Return Hessian products; see :class:`PackLoss`.

        Raises:
            InputError: an operation of the network has no second derivative.
        """
        parts = self._split(vectors)
        total = torch.zeros_like(self.theta)
        with torch.enable_grad(), _naming_what_has_no_second_derivative():
            for slopes in self._slopes():
                along = torch.stack([(g * v).sum() for g, v in zip(slopes, parts, strict=True)])
                if along.requires_grad:
                    curved = torch.autograd.grad(
                        along.sum(),
                        self._network.parameters(),
                        retain_graph=self._kept is not None,
                        materialize_grads=True,
                    )
                    total += _flat(curved)
        return total

    def _slopes(self) -> Iterator[Sequence[Tensor]]:
        """Yield each chunk's gradient with its graph, which is kept where there is only one."""
        if self._kept is not None:
            yield self._kept
            return
        for loss in self._losses(None):
            slopes = torch.autograd.grad(
                loss, self._network.parameters(), create_graph=True, materialize_grads=True
            )
            _check_paths(slopes)
            if self._data.y.shape[1] <= self._chunk:
                self._kept = slopes
            yield slopes

    def _gradient(self, columns: Tensor | None) -> Tensor:
        total = torch.zeros_like(self.theta)
        for loss in self._losses(columns):
            slopes = torch.autograd.grad(loss, self._network.parameters(), materialize_grads=True)
            total += _flat(slopes)
        return total

    def _losses(self, columns: Tensor | None) -> Iterator[Tensor]:
        """Yield each chunk's share of the sum over replicas of their mean losses."""
        for parameter in self._network.parameters():
            parameter.requires_grad_()
        count = self._data.y.shape[1] if columns is None else len(columns)
        for x, y in self._data.chunks(self._chunk, columns):
            with torch.enable_grad():
                logits = self._network(x).flatten(0, 1)
                labels = y.flatten().to(logits.device)
                yield functional.cross_entropy(logits, labels, reduction="sum") / count

    def _split(self, vectors: Tensor) -> list[Tensor]:
        parts = torch.split(vectors, [value[0].numel() for value in self._values], dim=1)
        return [p.reshape(v.shape).to(v) for p, v in zip(parts, self._values, strict=True)]


@contextmanager
def _naming_what_has_no_second_derivative() -> Iterator[None]:
    """Turn autograd's refusal of a second derivative into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        if "is not implemented" in text:
            raise InputError(
                f"the model has an operation without a second derivative: {text}"
            ) from error
        raise


def _check_paths(slopes: Sequence[Tensor]) -> None:
    """Refuse a graph with a dead end: autograd would leave out, silently, what lies behind it."""
    todo, seen = [slope.grad_fn for slope in slopes], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            raise InputError(
                "the model has an operation without a second derivative: a custom backward marked "
                "once_differentiable"
            )
        seen.add(node)
        todo += [after for after, _ in node.next_functions]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    # A parameter may be a single number per replica: it has no second axis to flatten from.
    return torch.cat([tensor.detach().reshape(len(tensor), -1) for tensor in tensors], dim=1)

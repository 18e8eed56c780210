"""Optimizers of a pack: SGD and AdamW, with a learning rate per replica and its schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from byheart.trial import Algorithm

Numbers = float | list[Tensor]
"""A hyperparameter: one number if all replicas share it, else for each parameter [R, 1, ...]."""

BETAS = (0.9, 0.999)
EPSILON = 1e-8
"""AdamW's constants: PyTorch's defaults."""


def learning_rates(algorithms: Sequence[Algorithm], epoch: int) -> list[float]:
    """Return each replica's learning rate in an epoch, counted from 0; see :func:`factor`."""
    return [algorithm.learning_rate * factor(algorithm, epoch) for algorithm in algorithms]


def factor(algorithm: Algorithm, epoch: int) -> float:
    r"""Return the factor of the learning rate in an epoch, counted from 0.

    Formula: with W epochs of warm-up and E epochs, (e + 1) / (W + 1) for e < W. After that, with
    e' = e - W: cosine, (1 + cos(pi e' / (E - W))) / 2; step, decay^floor(e' / decay_every);
    constant, 1.
    """
    warm_up = algorithm.warm_up
    if epoch < warm_up:
        return (epoch + 1) / (warm_up + 1)
    after = epoch - warm_up
    if algorithm.cosine:
        return (1 + math.cos(math.pi * after / (algorithm.epochs - warm_up))) / 2
    if algorithm.decay_every:
        return algorithm.decay ** (after // algorithm.decay_every)
    return 1.0


class Optimizer:
    """Updates the parameters of a pack.

    Args:
        parameters: each [R, ...]; updated in place.
        algorithms: one per replica.
        epoch: the next epoch, counted from 0.
    """

    def __init__(
        self, parameters: Sequence[Tensor], algorithms: Sequence[Algorithm], *, epoch: int = 0
    ) -> None:
        self._parameters = list(parameters)
        self._algorithms = list(algorithms)
        self._weight_decay = self._numbers([a.weight_decay for a in algorithms])
        self.start_epoch(epoch)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of an epoch, counted from 0."""
        self._learning_rate = self._numbers(learning_rates(self._algorithms, epoch))

    def update(self, gradients: list[Tensor]) -> None:
        """Move the parameters by gradients of the loss, each [R, ...], which may be overwritten."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what the updates have changed besides the parameters, each tensor [R, ...]."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        raise NotImplementedError

    def continue_from(self, other: Optimizer, replicas: Tensor) -> None:
        """Take over the state of some replicas, by index, from the optimizer of all of them."""
        self.restore(
            {
                name: [v[replicas] for v in values] if isinstance(values, list) else values
                for name, values in other.state().items()
            }
        )

    def _numbers(self, values: Sequence[float]) -> Numbers:
        if len(set(values)) == 1:
            return float(values[0])
        return [
            torch.tensor(values, dtype=p.dtype, device=p.device).view(-1, *[1] * (p.dim() - 1))
            for p in self._parameters
        ]


class SGD(Optimizer):
    r"""SGD with momentum and weight decay (PyTorch's convention).

    Formula: g <- grad + lambda theta; v <- mu v + g; theta <- theta - lr v.

    Args:
        parameters: each [R, ...]; updated in place.
        algorithms: one per replica.
        epoch: the next epoch, counted from 0.

    Attributes:
        velocity: for each parameter; empty without momentum.
    """

    def __init__(
        self, parameters: Sequence[Tensor], algorithms: Sequence[Algorithm], *, epoch: int = 0
    ) -> None:
        super().__init__(parameters, algorithms, epoch=epoch)
        self._momentum = self._numbers([a.momentum for a in algorithms])
        self.velocity = (
            [] if self._momentum == 0.0 else [torch.zeros_like(p) for p in self._parameters]
        )

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        """Move the parameters by gradients of the loss; see :class:`Optimizer`."""
        if self._weight_decay != 0.0:
            _add_scaled(gradients, self._parameters, self._weight_decay)
        if self.velocity:
            torch._foreach_mul_(self.velocity, self._momentum)
            torch._foreach_add_(self.velocity, gradients)
            gradients = self.velocity
        _add_scaled(self._parameters, gradients, self._learning_rate, sign=-1)

    def state(self) -> dict[str, Any]:
        """Return the velocity; see :class:`Optimizer`."""
        return {"velocity": self.velocity}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        if self.velocity:
            torch._foreach_copy_(self.velocity, list(state["velocity"]))


class AdamW(Optimizer):
    r"""Adam with decoupled weight decay (PyTorch's convention and constants).

    Formula: theta <- (1 - lr lambda) theta; m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2;
    theta <- theta - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps), with b1 = 0.9, b2 = 0.999,
    eps = 1e-8.

    Args:
        parameters: each [R, ...]; updated in place.
        algorithms: one per replica.
        epoch: the next epoch, counted from 0.

    Source: Loshchilov & Hutter (2019), "Decoupled weight decay regularization", algorithm 2.
    """

    def __init__(
        self, parameters: Sequence[Tensor], algorithms: Sequence[Algorithm], *, epoch: int = 0
    ) -> None:
        super().__init__(parameters, algorithms, epoch=epoch)
        self._mean = [torch.zeros_like(p) for p in self._parameters]
        self._square = [torch.zeros_like(p) for p in self._parameters]
        self._updates = 0

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        """Move the parameters by gradients of the loss; see :class:`Optimizer`."""
        self._updates += 1
        first, second = BETAS
        if self._weight_decay != 0.0:
            _add_scaled(self._parameters, self._parameters, self._decays(), sign=-1)
        torch._foreach_lerp_(self._mean, gradients, 1 - first)
        torch._foreach_mul_(self._square, second)
        torch._foreach_addcmul_(self._square, gradients, gradients, 1 - second)
        steps = torch._foreach_div(self._square, 1 - second**self._updates)
        torch._foreach_sqrt_(steps)
        torch._foreach_add_(steps, EPSILON)
        steps = torch._foreach_div(self._mean, steps)
        torch._foreach_div_(steps, 1 - first**self._updates)
        _add_scaled(self._parameters, list(steps), self._learning_rate, sign=-1)

    def state(self) -> dict[str, Any]:
        """Return running means and the number of updates; see :class:`Optimizer`."""
        return {"mean": self._mean, "square": self._square, "updates": self._updates}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        for values, held in ((self._mean, state["mean"]), (self._square, state["square"])):
            torch._foreach_copy_(values, list(held))
        self._updates = int(state["updates"])

    def _decays(self) -> Numbers:
        """Return the product of learning rate and weight decay."""
        rate, decay = self._learning_rate, self._weight_decay
        if isinstance(rate, float) and isinstance(decay, float):
            return rate * decay
        columns = [x if isinstance(x, list) else [x] * len(self._mean) for x in (rate, decay)]
        return [torch.as_tensor(r) * d for r, d in zip(*columns, strict=True)]


OPTIMIZERS: Mapping[str, type[Optimizer]] = {"sgd": SGD, "adamw": AdamW}


def make_optimizer(
    parameters: Sequence[Tensor], algorithms: Sequence[Algorithm], *, epoch: int = 0
) -> Optimizer:
    """Return the optimizer that the algorithms name; all name the same."""
    (name,) = {algorithm.optimizer for algorithm in algorithms}
    return OPTIMIZERS[name](parameters, algorithms, epoch=epoch)


def _add_scaled(
    values: list[Tensor], others: list[Tensor], factor: Numbers, *, sign: int = 1
) -> None:
    """Add ``sign * factor * others`` to ``values``, in place."""
    if isinstance(factor, float):
        torch._foreach_add_(values, others, alpha=sign * factor)
    else:
        torch._foreach_addcmul_(values, others, factor, value=sign)

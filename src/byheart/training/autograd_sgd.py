"""Stochastic gradient descent on any pack, with gradients from autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from byheart.errors import InputError
from byheart.networks.base import TrainableNetwork
from byheart.trial import Algorithm

REGULARIZERS = ("dropout", "input_dropout", "input_noise", "hidden_noise", "adversarial_weight")

Numbers = float | list[Tensor]
"""A hyperparameter: one number if all replicas share it, else for each parameter [R, 1, ...]."""


class AutogradSGD:
    r"""SGD with momentum, weight decay and a step schedule (PyTorch's convention).

    Formula: g <- grad + lambda theta; v <- mu v + g; theta <- theta - lr v.

    One backward pass serves all replicas: none's loss depends on another's parameters, so the
    gradient of the sum of their losses is, replica by replica, that of its own.
    """

    def __init__(
        self,
        network: TrainableNetwork,
        algorithms: Sequence[Algorithm],
        seeds: Sequence[int],
        *,
        epoch: int = 0,
    ) -> None:
        for name in REGULARIZERS:
            if any(getattr(algorithm, name) > 0 for algorithm in algorithms):
                raise InputError(
                    f"{name} is there for MLPs only: train a {algorithms[0].network.kind} without"
                )
        self.network = network
        self._algorithms = list(algorithms)
        self._seeds = list(seeds)
        self._parameters = list(network.parameters())
        self._momentum = self._numbers([a.momentum for a in self._algorithms])
        self._weight_decay = self._numbers([a.weight_decay for a in self._algorithms])
        self._velocity = (
            [] if self._momentum == 0.0 else [torch.zeros_like(p) for p in self._parameters]
        )
        self.start_epoch(epoch)

    def _numbers(self, values: Sequence[float]) -> Numbers:
        if len(set(values)) == 1:
            return float(values[0])
        return [
            torch.tensor(values, dtype=p.dtype, device=p.device).view(-1, *[1] * (p.dim() - 1))
            for p in self._parameters
        ]

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of an epoch (counted from 0) by each replica's schedule."""
        self._learning_rate = self._numbers(
            [
                a.learning_rate * (a.decay ** (epoch // a.decay_every) if a.decay_every else 1.0)
                for a in self._algorithms
            ]
        )

    def state(self) -> list[Tensor]:
        """Return the velocity of each parameter; nothing without momentum."""
        return self._velocity

    def restore(self, state: Sequence[Tensor]) -> None:
        """Take over what :meth:`state` gave, in place."""
        for own, held in zip(self._velocity, state, strict=True):
            own.copy_(held)

    def select(self, replicas: Tensor, *, epoch: int) -> AutogradSGD:
        """Return the optimizer of copies of some replicas; see :class:`Optimizer`."""
        chosen = AutogradSGD(
            self.network.select(replicas),
            [self._algorithms[i] for i in replicas.tolist()],
            [self._seeds[i] for i in replicas.tolist()],
            epoch=epoch,
        )
        if chosen._velocity:
            chosen._velocity = [one[replicas] for one in self._velocity]
        return chosen

    def step(self, x: Tensor, y: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
        """Take one step; see :class:`Optimizer`."""
        scores: list[Tensor] = []

        def loss() -> Tensor:
            scores.append(torch.log_softmax(self.network.training_logits(x), dim=2))
            return -scores[0].gather(2, y.unsqueeze(2)).squeeze(2).mean(1).sum()

        gradients = gradients_of(self._parameters, loss)
        seen = scores[0].detach()
        if watch is not None:
            watch(seen)
        self.update(gradients)
        return seen.gather(2, y.unsqueeze(2)).squeeze(2).exp()

    def step_on(
        self, ids: Tensor, x: Tensor, y: Tensor, watch: Callable[[Tensor], None] | None
    ) -> None:
        """Take one step, whichever examples it is about; see :class:`ExampleOptimizer`."""
        self.step(x, y, watch)

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        """Move the parameters by gradients of the loss, each [R, ...], which may be overwritten."""
        if self._weight_decay != 0.0:
            _add_scaled(gradients, self._parameters, self._weight_decay)
        if self._velocity:
            _scale(self._velocity, self._momentum)
            torch._foreach_add_(self._velocity, gradients)
            gradients = self._velocity
        _add_scaled(self._parameters, gradients, self._learning_rate, sign=-1)


def gradients_of(parameters: Sequence[Tensor], loss: Callable[[], Tensor]) -> list[Tensor]:
    """Return the gradient of each parameter.

    Args:
        parameters: each [R, ...].
        loss: computes the sum of the replicas' losses.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            gradients = torch.autograd.grad(
                loss(), list(parameters), allow_unused=True, materialize_grads=True
            )
    finally:
        # Whoever evaluates the network next wants no graph of it.
        for parameter in parameters:
            parameter.requires_grad_(False)
    return list(gradients)


def _scale(values: list[Tensor], factor: Numbers) -> None:
    torch._foreach_mul_(values, factor)


def _add_scaled(
    values: list[Tensor], others: list[Tensor], factor: Numbers, *, sign: int = 1
) -> None:
    """Add ``sign * factor * others`` to ``values``, in place."""
    if isinstance(factor, float):
        torch._foreach_add_(values, others, alpha=sign * factor)
    else:
        torch._foreach_addcmul_(values, others, factor, value=sign)

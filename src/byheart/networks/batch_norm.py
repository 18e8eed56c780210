"""Batch norm of every replica's own features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.errors import InputError
from byheart.networks.norm_pool import Buffers, NormPool, Pool

MOMENTUM, EPSILON = 0.1, 1e-5
"""PyTorch's own."""


@dataclass(frozen=True)
class ReplicatedBatchNorm:
    """Batch norm of R replicas with F features each.

    Formula: y = gamma (x - m) / sqrt(v + 1e-5) + beta. In training m and v (with N in its
    denominator) are those of the batch, over examples and places, and the running ones move a tenth
    of the way towards them (v then with N - 1); in eval mode they are the running ones.

    Attributes:
        gamma: [R, F] trained.
        beta: [R, F] trained.
        mean: [R, F] running.
        variance: [R, F] running.
        buffers: for training in fewer passes.

    Source: Ioffe and Szegedy (2015), with PyTorch's constants.
    """

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor
    buffers: Buffers = field(default_factory=Buffers, repr=False)

    @classmethod
    def initialised(cls, replicas: int, features: int, *, like: Tensor) -> ReplicatedBatchNorm:
        """Return what changes nothing but the scale: gamma 1, beta 0, running mean 0, variance 1.

        Args:
            replicas: R.
            features: F.
            like: gives type and device.
        """
        ones, zeros = (like.new_full((replicas, features), value) for value in (1.0, 0.0))
        return cls(ones, zeros, zeros.clone(), ones.clone())

    def __call__(self, x: Tensor, *, training: bool) -> Tensor:
        """Return the normalised features.

        Args:
            x: [B, R * F, ...], replica by replica.
            training: use the statistics of the batch, and move the running ones in place.

        Raises:
            InputError: a batch in training has one value per feature, which has no variance.
        """
        if training:
            self._check(x)
        return functional.batch_norm(
            x,
            self.mean.view(-1),
            self.variance.view(-1),
            self.gamma.view(-1),
            self.beta.view(-1),
            training=training,
            momentum=MOMENTUM,
            eps=EPSILON,
        )

    def train_and_pool(self, x: Tensor, pool: Pool) -> Tensor:
        """Return the features of a training batch normalised, pooled and rectified.

        The same as ``max(0, pool(self(x, training=True)))``, in fewer passes over the values.

        Args:
            x: [B, R * F, height, width], replica by replica, channels last in memory.
            pool: that follows.

        Raises:
            InputError: as for a call.
        """
        self._check(x)
        apply: Any = NormPool.apply  # torch leaves it untyped
        out, mean, variance = apply(
            x, self.gamma.view(-1), self.beta.view(-1), EPSILON, pool, self.buffers
        )
        count = x.numel() // x.shape[1]
        self.mean.view(-1).lerp_(mean, MOMENTUM)
        self.variance.view(-1).lerp_(variance * (count / (count - 1)), MOMENTUM)
        return cast(Tensor, out)

    def _check(self, x: Tensor) -> None:
        if x.numel() == x.shape[1]:
            raise InputError(
                "batch norm cannot train on a batch of one example: choose a batch size that "
                "leaves no single example at the end of an epoch"
            )

    def select(self, replicas: Tensor) -> ReplicatedBatchNorm:
        """Return a copy for some replicas, by index or mask."""
        return ReplicatedBatchNorm(
            self.gamma[replicas], self.beta[replicas], self.mean[replicas], self.variance[replicas]
        )

    def fill(self, module: nn.BatchNorm1d | nn.BatchNorm2d, replica: int) -> None:
        """Copy one replica's parameters and running statistics into a module."""
        mean, variance = module.running_mean, module.running_var
        assert mean is not None and variance is not None
        with torch.no_grad():
            module.weight.copy_(self.gamma[replica])
            module.bias.copy_(self.beta[replica])
            mean.copy_(self.mean[replica])
            variance.copy_(self.variance[replica])

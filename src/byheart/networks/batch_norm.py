"""Batch norm of every replica's own features, also as one step with the max pool after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from byheart.errors import InputError

LAYOUT = torch.channels_last
MOMENTUM, EPSILON = 0.1, 1e-5
"""PyTorch's own."""


@dataclass(frozen=True)
class Pool:
    """A max pool of squares, without padding."""

    side: int
    stride: int


class Buffers:
    """Two tensors as large as a layer, kept from step to step.

    Fresh memory of that size is handed out page by page when it is first written to, which takes
    as long as writing it.
    """

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def like(self, c: Tensor) -> list[Tensor]:
        """Return both, with whatever they hold."""
        if not self._kept or not _alike(self._kept[0], c):
            self._kept = [torch.empty_like(c, memory_format=LAYOUT) for _ in range(2)]
        return self._kept


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)


class NormPool(torch.autograd.Function):
    r"""max(0, pool(gamma h + beta)) with h = (c - m) / s for c of a training batch.

    Formula: m and s^2 = v + epsilon are those of a feature over examples and places. Scale and
    shift do not change which value of a window is largest; where gamma < 0, h and gamma change
    their signs together. So h is pooled as it is, and only what the pool lets through, a quarter of
    the values, is scaled and rectified. Backwards, with g the gradient at what is rectified, p the
    pooled h and M values a feature,

        dL/dgamma = sum g p,  dL/dbeta = sum g,
        dL/dc = (gamma / s) (scatter(g) - dL/dbeta / M - h dL/dgamma / M),

    where both sums run over pooled values only, since no other has a gradient.

    Source: Ioffe and Szegedy (2015), section 3, for the gradient of batch norm.
    """

    @staticmethod
    def forward(
        ctx: Any,
        c: Tensor,
        gamma: Tensor,
        beta: Tensor,
        epsilon: float,
        pool: Pool,
        buffers: Buffers,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (what the ReLU lets through, m, v with M in its denominator).

        Args:
            ctx: what the gradient needs.
            c: [B, F, height, width].
            gamma: [F] scale.
            beta: [F] shift.
            epsilon: added to v.
            pool: after it.
            buffers: hold h and dL/dc until the next call.
        """
        h, _ = buffers.like(c)
        mean, inverse = gamma.new_empty(len(gamma)), gamma.new_empty(len(gamma))
        torch.native_batch_norm(
            c, None, None, None, None, True, 0.0, epsilon, out=(h, mean, inverse)
        )
        sign = torch.where(gamma < 0, -1.0, 1.0).to(c.dtype)
        towards = h * column(sign) if bool((gamma < 0).any()) else h
        pooled, where = functional.max_pool2d(towards, pool.side, pool.stride, return_indices=True)
        out = torch.addcmul(column(beta), pooled, column(gamma * sign)).relu_()
        ctx.pool, ctx.buffers = pool, buffers
        ctx.save_for_backward(h, pooled, where, out, inverse, gamma, sign)
        variance = inverse.pow(-2) - epsilon
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, slope: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        """Return the gradients of c, gamma and beta."""
        h, pooled, where, out, inverse, gamma, sign = ctx.saved_tensors
        count = h.numel() // h.shape[1]
        g = torch.ops.aten.threshold_backward(slope.contiguous(memory_format=LAYOUT), out, 0)
        shift = g.sum((0, 2, 3))
        scale = (g * pooled).sum((0, 2, 3)) * sign
        factor = gamma * inverse
        _, back = ctx.buffers.like(h)
        torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
            g.mul_(column(factor)),
            h,
            [ctx.pool.side] * 2,
            [ctx.pool.stride] * 2,
            [0, 0],
            [1, 1],
            False,
            where,
            grad_input=back,
        )
        back.addcmul_(h, column(factor * scale / -count)).sub_(column(factor * shift / count))
        return back, scale, shift, None, None, None


def column(values: Tensor) -> Tensor:
    """Return one number per feature as [1, F, 1, 1]."""
    return values.view(1, -1, 1, 1)


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

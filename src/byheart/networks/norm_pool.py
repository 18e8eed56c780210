"""Batch norm, max pool and ReLU of a training batch as one step, with its gradient written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

LAYOUT = torch.channels_last


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


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


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

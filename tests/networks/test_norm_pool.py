"""Batch norm, pool and ReLU in one step, against the three of PyTorch."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from byheart.networks.batch_norm import LAYOUT, Buffers, NormPool, Pool


def plain(c: Tensor, gamma: Tensor, beta: Tensor, pool: Pool) -> Tensor:
    normal = functional.batch_norm(c, None, None, gamma, beta, training=True, eps=1e-5)
    return functional.max_pool2d(torch.relu(normal), pool.side, pool.stride)


@pytest.mark.parametrize("pool", [Pool(3, 2), Pool(2, 2)])
def test_values_and_gradients_equal_those_of_pytorch_also_where_the_scale_is_negative(
    pool: Pool,
) -> None:
    torch.manual_seed(0)
    buffers = Buffers()
    for _ in range(2):  # the second time, buffers hold what the first left
        c = torch.randn(4, 6, 9, 9, dtype=torch.float64).contiguous(memory_format=LAYOUT)
        gamma, beta = torch.randn(2, 6, dtype=torch.float64).unbind()
        leaves = [one.requires_grad_() for one in (c, gamma.clone(), beta.clone())]
        want = plain(*leaves, pool)
        weights = torch.randn_like(want)
        slopes = torch.autograd.grad((want * weights).sum(), leaves)
        got, mean, variance = NormPool.apply(*leaves, 1e-5, pool, buffers)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
        torch.testing.assert_close(mean, c.mean((0, 2, 3)), rtol=0, atol=1e-12)
        torch.testing.assert_close(variance, c.var((0, 2, 3), correction=0), rtol=0, atol=1e-12)
        for own, other in zip(
            torch.autograd.grad((got * weights).sum(), leaves), slopes, strict=True
        ):
            torch.testing.assert_close(own, other, rtol=0, atol=1e-11)

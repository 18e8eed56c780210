"""The layers that the certificate knows, and the step that each of them is."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.measures.critical.affine import Affine, transpose_of
from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.network import Step
from byheart.measures.critical.relaxations import Flatten, MaxPool, Relu

SAME_IN_EVAL = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
"""Layers that change nothing in eval mode."""
KNOWN = (
    *SAME_IN_EVAL,
    nn.ReLU,
    nn.Flatten,
    nn.Linear,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool2d,
    nn.ZeroPad2d,
)
"""Layers that bounds can travel through, by exact class: a subclass may compute anything."""


def known(module: nn.Module) -> bool:
    """Return whether a layer can be run to learn its shapes: no other is run at all."""
    return type(module) in KNOWN and getattr(module, "running_mean", module) is not None


def step_of(
    module: nn.Module, x: Tensor, after: Tensor, arithmetic: Arithmetic, dtype: torch.dtype
) -> Step | None:
    """Return the step that a known layer is, computed in ``dtype``; None if it has none.

    Args:
        module: in eval mode, and not one of :data:`SAME_IN_EVAL`.
        x: [batch, *shape] an input.
        after: what the layer returns for it.
        arithmetic: in which the model is evaluated.
        dtype: of the bounds.
    """
    kind = type(module)
    if kind is nn.ReLU:
        return Relu()
    if kind is nn.Flatten and module.start_dim == 1:
        return Flatten(after.shape[1:])
    if kind is nn.Linear and x.dim() == 2:
        return _linear(cast(nn.Linear, module), arithmetic, dtype)
    if kind is nn.Conv2d and after.dim() == 4 and module.padding_mode == "zeros":
        return _convolution(cast(nn.Conv2d, module), arithmetic, dtype)
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return _normalisation(cast(nn.BatchNorm2d, module), x.dim(), arithmetic, dtype)
    if kind is nn.AvgPool2d and module.divisor_override is None and after.dim() == 4:
        down, across = _pair(module.kernel_size)
        return _unbiased(module, down * across, arithmetic)
    if kind is nn.ZeroPad2d and after.dim() == 4:
        return _unbiased(module, 1, arithmetic)
    if kind is nn.AdaptiveAvgPool2d and after.dim() == 4:
        (height, width), (rows, columns) = x.shape[2:], after.shape[2:]
        if height % rows == 0 and width % columns == 0:
            window = (height // rows, width // columns)
            return _unbiased(nn.AvgPool2d(window), window[0] * window[1], arithmetic)
    if kind is nn.MaxPool2d and after.dim() == 4:
        pool = cast(nn.MaxPool2d, module)
        if not pool.ceil_mode and not pool.return_indices:
            pooling = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
            return MaxPool(*(_pair(size) for size in pooling))
    return None


def _linear(module: nn.Linear, arithmetic: Arithmetic, dtype: torch.dtype) -> Affine:
    weight = module.weight.detach().to(dtype)
    bias = _held(module.bias, weight)
    magnitude = weight.abs()
    return Affine(
        apply=lambda z: functional.linear(z, weight),
        absolute=lambda z: functional.linear(z, magnitude),
        transpose=lambda coefficients, shape: coefficients @ weight,
        bias=bias,
        offset=bias.abs(),
        terms=(module.in_features, module.out_features),
        arithmetic=arithmetic,
        weight=weight,
    )


def _convolution(module: nn.Conv2d, arithmetic: Arithmetic, dtype: torch.dtype) -> Affine:
    apply = copy.deepcopy(module).to(dtype).requires_grad_(False)
    bias = _held(module.bias, apply.weight)
    bias = bias.reshape(-1, 1, 1) if bias.dim() else bias
    apply.bias = None
    absolute = copy.deepcopy(apply)
    absolute.weight.abs_()
    area = module.kernel_size[0] * module.kernel_size[1]
    return Affine(
        apply=apply,
        absolute=absolute,
        transpose=transpose_of(apply),
        bias=bias,
        offset=bias.abs(),
        terms=(module.in_channels * area, module.out_channels * area),
        arithmetic=arithmetic,
    )


def _normalisation(
    module: nn.BatchNorm2d, dimensions: int, arithmetic: Arithmetic, dtype: torch.dtype
) -> Affine:
    mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
    mean, variance = mean.double(), variance.double()
    scale = (variance + module.eps).rsqrt()
    shift = torch.zeros_like(mean)
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
        shift = module.bias.detach().double()
    bias, offset = shift - mean * scale, shift.abs() + mean.abs() * scale.abs()
    shape = (-1, *[1] * (dimensions - 2))
    scale, bias, offset = (value.to(dtype).reshape(shape) for value in (scale, bias, offset))
    magnitude = scale.abs()
    return Affine(
        apply=lambda z: z * scale,
        absolute=lambda z: z * magnitude,
        transpose=lambda coefficients, _: coefficients * scale,
        bias=bias,
        offset=offset,
        terms=(1, 1),
        arithmetic=arithmetic,
    )


def _unbiased(module: nn.Module, terms: int, arithmetic: Arithmetic) -> Affine:
    """Return the step of a layer that adds so many numbers, weighted by 0 or more, and no bias."""
    none = torch.zeros(())
    return Affine(
        apply=module,
        absolute=module,
        transpose=transpose_of(module),
        bias=none,
        offset=none,
        terms=(terms, terms),
        arithmetic=arithmetic,
    )


def _held(bias: Tensor | None, weight: Tensor) -> Tensor:
    return weight.new_zeros(()) if bias is None else bias.detach().to(weight)


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])

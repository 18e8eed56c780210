"""From a module to the steps that the certificate can follow, or the layer it cannot."""

from __future__ import annotations

import copy
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.measures.critical.affine import Affine, Reach, transpose_of
from byheart.measures.critical.arithmetic import Arithmetic
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
    nn.MaxPool2d,
)
"""Layers that bounds can travel through, by exact class: a subclass may compute anything."""


class Step(Protocol):
    """A layer on which bounds can travel."""

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be, given where the inputs can be."""
        ...

    def back(self, coefficients: Tensor, reach: Reach) -> tuple[Tensor, Tensor]:
        """Return A', c with A output >= A' input + c for all inputs within ``reach``.

        Args:
            coefficients: A, [batch, bounds, *output].
            reach: [batch, *input].
        """
        ...


class UnknownLayerError(Exception):
    """A layer without a certificate; its message is the layer's name."""


def steps_of(model: nn.Module, x: Tensor, arithmetic: Arithmetic) -> list[Step]:
    """Return the steps of a network in float64, in order.

    Args:
        model: in eval mode; a supported layer, or nested ``nn.Sequential`` of such.
        x: [1, *shape] an input, to learn the shapes between layers.
        arithmetic: in which the model is evaluated.

    Raises:
        UnknownLayerError: a layer is of another kind, or does not do what its class does.
    """
    steps: list[Step] = []
    for name, module in _leaves(model, ""):
        # Before it is run: another kind of layer may refuse a batch of one.
        if type(module) not in KNOWN or getattr(module, "running_mean", module) is None:
            raise UnknownLayerError(_called(name, module))
        after = module(x)
        steps.extend(_step(name, module, x, after, arithmetic))
        x = after
    return steps


def _leaves(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    # A hook, a patched method or a subclass may compute anything.
    altered = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    if altered:
        raise UnknownLayerError(_called(name, module) + " with a hook or a patched forward")
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        prefix = f"{name}." if name else ""
        # Not named_children(), which leaves out a layer that is used twice.
        children = module._modules.items()
        return [leaf for child, part in children for leaf in _leaves(part, prefix + child)]
    return [(name, module)]


def _called(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"{name} ({kind})" if name else kind


def _step(
    name: str, module: nn.Module, x: Tensor, after: Tensor, arithmetic: Arithmetic
) -> list[Step]:
    kind = type(module)
    if kind in SAME_IN_EVAL:
        return []
    if kind is nn.ReLU:
        return [Relu()]
    if kind is nn.Flatten and module.start_dim == 1:
        return [Flatten(after.shape[1:])]
    if kind is nn.Linear:
        return [_linear(cast(nn.Linear, module), arithmetic)]
    if kind is nn.Conv2d and after.dim() == 4 and module.padding_mode == "zeros":
        return [_convolution(cast(nn.Conv2d, module), arithmetic)]
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return [_normalisation(cast(nn.BatchNorm2d, module), x.dim(), arithmetic)]
    if kind is nn.AvgPool2d and module.divisor_override is None and after.dim() == 4:
        return [_average(cast(nn.AvgPool2d, module), arithmetic)]
    if kind is nn.MaxPool2d and after.dim() == 4:
        pool = cast(nn.MaxPool2d, module)
        if not pool.ceil_mode and not pool.return_indices:
            sizes = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
            return [MaxPool(*(_pair(size) for size in sizes))]
    raise UnknownLayerError(_called(name, module))


def _double(value: Tensor | None) -> Tensor:
    return torch.zeros((), dtype=torch.float64) if value is None else value.detach().double()


def _linear(module: nn.Linear, arithmetic: Arithmetic) -> Affine:
    weight, bias = module.weight.detach().double(), _double(module.bias).to(module.weight.device)
    magnitude = weight.abs()
    return Affine(
        apply=lambda z: functional.linear(z, weight),
        absolute=lambda z: functional.linear(z, magnitude),
        transpose=lambda coefficients, shape: coefficients @ weight,
        bias=bias,
        offset=bias.abs(),
        terms=(module.in_features, module.out_features),
        arithmetic=arithmetic,
    )


def _convolution(module: nn.Conv2d, arithmetic: Arithmetic) -> Affine:
    apply = copy.deepcopy(module).double().requires_grad_(False)
    bias = _double(module.bias).to(module.weight.device)
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


def _normalisation(module: nn.BatchNorm2d, dimensions: int, arithmetic: Arithmetic) -> Affine:
    mean, variance = _double(module.running_mean), _double(module.running_var)
    scale = (variance + module.eps).rsqrt()
    shift = torch.zeros_like(mean)
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
        shift = module.bias.detach().double()
    shape = (-1, *[1] * (dimensions - 2))
    scale, mean, shift = (value.reshape(shape) for value in (scale, mean, shift))
    magnitude = scale.abs()
    return Affine(
        apply=lambda z: z * scale,
        absolute=lambda z: z * magnitude,
        transpose=lambda coefficients, _: coefficients * scale,
        bias=shift - mean * scale,
        offset=shift.abs() + mean.abs() * magnitude,
        terms=(1, 1),
        arithmetic=arithmetic,
    )


def _average(module: nn.AvgPool2d, arithmetic: Arithmetic) -> Affine:
    down, across = _pair(module.kernel_size)
    none = torch.zeros((), dtype=torch.float64)
    return Affine(
        apply=module,
        absolute=module,
        transpose=transpose_of(module),
        bias=none,
        offset=none,
        terms=(down * across, down * across),
        arithmetic=arithmetic,
    )


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])

"""How far a network as it is evaluated can be from the network in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

DOUBLE = torch.finfo(torch.float64).eps
"""The rounding unit of the bounds themselves, which are computed in float64."""
SPARE = 64
"""Roundings of the bounds allowed for beside those of a sum: one partial sum per layer."""
EXTRA = 16
"""Roundings of a layer allowed for beside those of a sum: bias, division, square root."""


def gamma(roundings: int, unit: float) -> float:
    r"""Return the relative error that ``roundings`` roundings can add up to.

    Formula: gamma_n = n u / (1 - n u), and infinity if n u >= 1. A sum of n products, in whatever
    order and with or without fused multiply-add, is off by at most gamma_n sum_i |w_i| |z_i|.

    Args:
        roundings: n, with which every term of the sum may have been rounded.
        unit: u, the largest relative error of one rounding.

    Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.
    """
    product = roundings * unit
    return product / (1.0 - product) if product < 1.0 else float("inf")


def unit_of(dtype: torch.dtype) -> float:
    """Return the rounding unit of bounds that are computed in ``dtype``, on a CPU if in single."""
    return DOUBLE if dtype is torch.float64 else torch.finfo(dtype).eps / 2


@dataclass(frozen=True)
class Arithmetic:
    """The floating-point arithmetic in which a model is evaluated.

    Attributes:
        unit: largest relative error of one operation, in the coarsest format in play: half the
            spacing of its numbers on a CPU in full precision, which rounds to nearest, else all.
        tiny: largest absolute error of an operation that underflows.
        huge: largest finite number.
    """

    unit: float
    tiny: float
    huge: float

    @classmethod
    def of(cls, model: nn.Module, x: Tensor) -> Arithmetic:
        """Return the coarsest arithmetic that evaluating ``model`` at ``x`` may use."""
        held = chain([x], model.parameters(), model.buffers())
        formats = {value.dtype for value in held if value.is_floating_point()}
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            formats.add(torch.get_autocast_dtype(kind))
        infos = [torch.finfo(dtype) for dtype in formats]
        units = [info.eps if info.bits < 32 or kind != "cpu" else info.eps / 2 for info in infos]
        if torch.float32 in formats:
            units.append(_single(kind))
        return cls(max(units), max(info.tiny for info in infos), min(info.max for info in infos))

    def is_single(self, x: Tensor) -> bool:
        """Return whether float32 on the device of ``x`` rounds every operation to nearest."""
        kind = x.device.type
        return kind == "cpu" and _single(kind) == torch.finfo(torch.float32).eps / 2


def _single(kind: str) -> float:
    """Return the unit of what passes for float32: matrix products may round to fewer bits."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # set per backend, with no one answer
        precision = "medium"
    if precision == "medium":
        return torch.finfo(torch.bfloat16).eps
    tensor_float_32 = 2.0**-10
    coarse = kind != "cpu" or precision != "highest"
    return tensor_float_32 if coarse else torch.finfo(torch.float32).eps / 2

"""When a proof may be computed in single precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.measures.critical.affine import Affine
from byheart.measures.critical.network import Node
from byheart.measures.critical.relaxations import Flatten, Relu

FLOOR = 2.0**-40
"""A margin below this proves nothing in single precision: underflow may have made it."""
LARGEST = 2.0**46
"""What weights may grow a number to. Fewer than 2^40 products lose 2^-126 each, so grown."""


def single_is_sound(nodes: Sequence[Node], fast: Sequence[Node], x: Tensor, radius: float) -> bool:
    """Return whether bounds in single precision, with their own rounding, hold for a network.

    They are for dense layers whose weights are numbers of single precision, on a CPU that computes
    in it, and for numbers so far from underflow that :data:`FLOOR` covers what it takes.

    Args:
        nodes: of the network in float64.
        fast: the same in float32.
        x: inputs.
        radius: of the boxes around them.
    """
    if x.dtype is not torch.float32 or x.device.type != "cpu":
        return False
    size = 1.0 + float(x.abs().max()) + radius
    for exact, rough in zip(nodes, fast, strict=True):
        one, two = exact.step, rough.step
        if isinstance(one, Affine) and isinstance(two, Affine):
            if one.weight is None or two.weight is None:
                return False
            same = torch.equal(one.weight, two.weight.double())
            if not same or one.arithmetic.unit != torch.finfo(torch.float32).eps / 2:
                return False
            sums = one.weight.abs()
            size *= 1.0 + float(torch.maximum(sums.sum(0).max(), sums.sum(1).max()))
            size += float(one.offset.max())
        elif not isinstance(one, Relu | Flatten):
            return False
    return size < LARGEST

"""The proof that a sample is not critical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.measures.critical.affine import Reach
from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import (
    box_around,
    gains,
    interval_bounds,
    lower_bounds,
    tightened_bounds,
)
from byheart.measures.critical.network import Node
from byheart.measures.critical.tracing import UnknownLayerError, nodes_of

ELEMENTS = 2**23
"""Numbers that the coefficients of one backward pass may hold (64 MiB)."""


@dataclass(frozen=True)
class Certificate:
    """Which samples are proved not critical.

    Attributes:
        certified: bool [N], no point of the box changes the predicted class.
        uncertified_layer: the layer for which there is no certificate, if there is one: then
            nothing is certified.
    """

    certified: Tensor
    uncertified_layer: str | None = None


@torch.no_grad()
def certificate(model: nn.Module, x: Tensor, predicted: Tensor, radius: float) -> Certificate:
    r"""Prove, where possible, that a box holds no point of another predicted class.

    Formula: x is certified if min_{j != k} min_{||x^ - x||_inf <= r} (z_k - z_j)(x^) > 0 holds for
    a lower bound of the left side, where k is the class predicted at x. Three bounds are tried, a
    dearer one only where the cheaper failed: interval propagation; backward linear relaxation over
    intervals; backward linear relaxation whose every undecided ReLU is bounded in the same way.

    The bounds hold for the network as evaluated in its own floating-point format: every layer adds
    an error term (see :class:`byheart.measures.critical.affine.Affine`).

    Args:
        model: in eval mode; Linear, Conv2d, BatchNorm, ReLU, AvgPool2d, MaxPool2d, Flatten,
            Identity and Dropout layers, in ``nn.Sequential``, nested or not.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        radius: r, on the scale of x.

    Returns:
        The mask, or the name of the layer that has no certificate.
    """
    nothing = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    try:
        nodes = nodes_of(model, x, Arithmetic.of(model, x))
    except UnknownLayerError as unknown:
        return Certificate(nothing, str(unknown))
    return Certificate(_Proof(nodes, x, predicted, radius).run(nothing))


Bounds = Callable[[Reach], list[Reach]]


@dataclass(frozen=True)
class _Proof:
    nodes: Sequence[Node]
    x: Tensor
    predicted: Tensor
    radius: float

    def run(self, certified: Tensor) -> Tensor:
        shapes = interval_bounds(self.nodes, box_around(self.x[:1], self.radius))
        widest = max(reach.low[0].numel() for reach in shapes)
        classes = shapes[-1].low[0].numel()

        def tightened(box: Reach) -> list[Reach]:
            return tightened_bounds(self.nodes, box, ELEMENTS)

        def intervals(box: Reach) -> list[Reach]:
            return interval_bounds(self.nodes, box)

        stages: list[tuple[Bounds, bool, int]] = [(intervals, False, 1), (intervals, True, classes)]
        if any(gains(self.nodes, number) for number in range(len(self.nodes))):
            stages.append((tightened, True, max(classes, 64)))
        for bounds, backward, rows in stages:
            together = max(1, ELEMENTS // (rows * widest))
            unsettled = (~certified).nonzero().squeeze(1)
            for part in torch.split(unsettled, together) if len(unsettled) else ():
                certified[part] = self._margins(part, bounds, backward) > 0
        return certified

    def _margins(self, part: Tensor, bounds: Bounds, backward: bool) -> Tensor:
        """Return a lower bound of the smallest margin to another class."""
        own = self.predicted[part].unsqueeze(1)
        reaches = bounds(box_around(self.x[part], self.radius))
        last = reaches[-1]
        margins = last.low.gather(1, own) - last.high
        if backward:
            # Row j is e_k - e_j.
            rows = -torch.eye(last.low.shape[1], dtype=last.low.dtype, device=last.low.device)
            rows = rows.repeat(len(part), 1, 1)
            rows.scatter_add_(2, own.unsqueeze(1).expand(-1, rows.shape[1], 1), _ones(rows))
            margins = torch.maximum(margins, lower_bounds(self.nodes, reaches, rows).bound)
        return margins.scatter(1, own, float("inf")).amin(1)


def _ones(rows: Tensor) -> Tensor:
    return rows.new_ones(*rows.shape[:2], 1)

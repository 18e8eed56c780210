"""Bounds on a second dense layer, with what the ReLU between loses but not what intervals lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.measures.critical.affine import Affine, Reach
from byheart.measures.critical.arithmetic import SPARE, gamma, unit_of
from byheart.measures.critical.network import Node
from byheart.measures.critical.norms import Norms
from byheart.measures.critical.relaxations import Flatten, Relu


@dataclass(frozen=True)
class Folded:
    r"""A first layer and its ReLU, bounded by one linear map and what is added to it.

    Formula: relu(z) = s z + t with s = u / (u - l) and 0 <= t <= -l s where z in [l, u] changes
    sign; so for z = W x^ + b + e and x^ in a box with centre m and half-width h,
    V relu(z) = V (s (W m + b)) + V t + V (s e) + (V s) W (x^ - m), the last within
    h ||(V_i s) W||_1.

    Attributes:
        slope: s, [batch, units].
        middle: s (W m + b) + t / 2 for the largest t.
        inner: the largest distance of s e + t from its middle.
        half: h, [batch, 1], of the widest side of each box.
    """

    slope: Tensor
    middle: Tensor
    inner: Tensor
    half: Tensor


@dataclass(frozen=True)
class SecondLayer:
    """Where a network's first two dense layers meet.

    Attributes:
        number: of the node of the second layer, V.
        first: the first layer, W.
        step: the second.
        norms: of W.
        sums: [units], ||W_j||_1, never too small.
    """

    number: int
    first: Affine
    step: Affine
    norms: Norms
    sums: Tensor

    @classmethod
    def of(cls, nodes: Sequence[Node], norms: Norms) -> SecondLayer:
        """Return where the layers meet; the network must begin with :func:`dense_layers`."""
        number, first, step = _beginning(nodes)
        assert first.weight is not None
        dtype = first.weight.dtype
        roundings = gamma(first.weight.shape[1] + SPARE, unit_of(dtype))
        sums = first.weight.abs().sum(1) * (1.0 + 2.0 * roundings)
        return cls(number, first, step, norms.to(dtype), sums)

    def reaches(self, nodes: Sequence[Node], box: Reach) -> list[Reach]:
        """Return where the values can be, from the input to what the second layer returns.

        As intervals do, for the price of fewer products, and with :class:`Norms` behind the ReLU.
        """
        reaches = [box]
        for node in nodes[: self.number - 2]:
            reaches.append(node.interval(reaches))
        source = reaches[-1]
        error, half = self.first.error(source), self._half(box)
        value = self.first.value((source.low + source.high) / 2)
        # Every side of the box is taken for the widest: then one sum per unit serves all samples.
        spread = half * self.sums + error
        reaches.append(Reach(value - spread, value + spread, error))
        reaches.append(nodes[self.number - 1].interval(reaches))
        folded, error = self._folded(reaches), self.step.error(reaches[-1])
        norms = self.norms.bound(self._rows, folded.slope)
        return [*reaches, Reach(*self._bounds(folded, norms, error), error)]

    def exact(
        self, reaches: Sequence[Reach], found: Reach, elements: int, fast: SecondLayer
    ) -> Reach:
        """Return better bounds, exact norms behind them where those of the spectrum leave doubt.

        Args:
            reaches: of the input, then of what each node before the second layer returns.
            found: of its outputs, by cheaper bounds.
            elements: numbers to hold at a time.
            fast: computes the norms: the same in float32 where that holds, else this.
        """
        folded = self._folded(reaches)
        found = self._within(folded, self.norms.bound(self._rows, folded.slope), found)
        undecided = (found.low < 0) & (found.high > 0)
        norms = fast.row_norms(folded.slope, undecided, elements)
        return self._within(folded, norms.to(found.low.dtype), found)

    def row_norms(self, slope: Tensor, wanted: Tensor, elements: int) -> Tensor:
        """Return ||(V_i s) W||_1, [batch, outputs], never too small; infinity where not wanted."""
        weight = self.first.weight
        assert weight is not None
        slope = slope.to(weight.dtype)
        norms = torch.full(wanted.shape, float("inf"), dtype=weight.dtype, device=weight.device)
        for sample in wanted.any(1).nonzero().squeeze(1):
            on = slope[sample].nonzero().squeeze(1)
            active = weight[on]
            units = wanted[sample].nonzero().squeeze(1)
            for some in torch.split(units, max(1, elements // max(weight.shape))):
                share = (self._rows[some] * slope[sample])[:, on]
                norms[sample, some] = (share @ active).abs_().sum(1)
        roundings = gamma(sum(weight.shape) + SPARE, unit_of(weight.dtype))
        # What the products lose is a share of the sums of absolute values.
        lost = 2.0 * roundings * self.step.absolute(slope * self.sums)
        return norms * (1.0 + roundings) + lost

    @property
    def _rows(self) -> Tensor:
        assert self.step.weight is not None
        return self.step.weight

    def _half(self, box: Reach) -> Tensor:
        half = ((box.high - box.low) / 2).flatten(1).amax(1, keepdim=True)
        return half * (1.0 + 4.0 * unit_of(box.low.dtype))

    def _folded(self, reaches: Sequence[Reach]) -> Folded:
        reach = reaches[self.number - 1]
        low, high = reach.low, reach.high
        mixed = (low < 0) & (high > 0)
        slope = torch.where(mixed, high / torch.where(mixed, high - low, 1.0), (low >= 0).to(low))
        shift = torch.where(mixed, -low * slope / 2, 0.0)
        # The interval of the first layer is symmetric around its value at the centre.
        middle = slope * ((low + high) / 2) + shift
        inner = shift if reach.error is None else shift + slope * reach.error
        return Folded(slope, middle, inner, self._half(reaches[0]))

    def _within(self, folded: Folded, norms: Tensor, found: Reach) -> Reach:
        assert found.error is not None
        low, high = self._bounds(folded, norms, found.error)
        return found.within(torch.maximum(found.low, low), torch.minimum(found.high, high))

    def _bounds(self, folded: Folded, norms: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of the second layer's outputs, given ||(V_i s) W||_1."""
        centre = self.step.value(folded.middle)
        spread = folded.half * norms + self.step.absolute(folded.inner)
        spread = spread + error * (1.0 + self.step.own_share(error.dtype))
        return centre - spread, centre + spread


def dense_layers(nodes: Sequence[Node]) -> tuple[Affine, Affine] | None:
    """Return the first two layers of a network that begins with two dense ones and a ReLU."""
    steps = [node.step for node in nodes]
    start = int(bool(steps) and isinstance(steps[0], Flatten))
    if len(nodes) < start + 3:
        return None
    if any(node.inputs != (start + i,) for i, node in enumerate(nodes[start : start + 3])):
        return None
    first, relu, second = steps[start : start + 3]
    if not isinstance(first, Affine) or not isinstance(second, Affine):
        return None
    if first.weight is None or second.weight is None or not isinstance(relu, Relu):
        return None
    return first, second


def _beginning(nodes: Sequence[Node]) -> tuple[int, Affine, Affine]:
    layers = dense_layers(nodes)
    assert layers is not None
    return 2 + int(isinstance(nodes[0].step, Flatten)), *layers

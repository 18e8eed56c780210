"""Bounds on a second dense layer, with what the ReLU between loses but not what intervals lose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byheart.measures.critical.arithmetic import DOUBLE, SPARE, gamma, unit_of
from byheart.measures.critical.bends import Relu
from byheart.measures.critical.steps import Affine, Flatten, Node, Reach

SWEEPS = 8
"""Sweeps of the subspace iteration for eigenvectors; a proof follows, so few are enough."""
GROWTH = 1.03
"""Factor by which the bound of the other directions grows until it is proved."""
ATTEMPTS = 200


@dataclass(frozen=True)
class Norms:
    r"""A bound on ||a W||_1 for a first layer W, as cheap as a sum of squares.

    Formula: for weights q > 0, ||a W||_1^2 <= sum(q) a G a^T with G = W diag(1/q) W^T
    (Cauchy-Schwarz), and with t_j = sqrt(G_jj) and any vectors u_k, numbers c_k >= 0

        a G a^T <= lambda sum_j (a_j t_j)^2 + sum_k c_k (sum_j a_j t_j u_kj)^2

    as soon as lambda I + sum_k c_k u_k u_k^T - G / (t t^T) is positive semidefinite. That is proved
    by its Cholesky factor; where u_k and c_k come from only decides how good the bound is.

    Attributes:
        scale: sqrt(sum(q)).
        units: t, [units].
        rest: lambda.
        along: u_k t sqrt(c_k), [directions, units].
        largest: the largest |u_k| sqrt(c_k).
    """

    scale: float
    units: Tensor
    rest: float
    along: Tensor
    largest: float

    def bound(self, rows: Tensor, slopes: Tensor) -> Tensor:
        """Return bounds of ||(w * s) W||_1, [batch, rows], for w in ``rows`` and s in ``slopes``.

        Args:
            rows: [rows, units].
            slopes: [batch, units], in [0, 1].
        """
        squares = self.rest * ((slopes * self.units).square() @ rows.square().T)
        for direction in self.along:
            squares += (slopes @ (rows * direction).T).square()
        bounds = squares.sqrt_()
        roundings = gamma(4 * rows.shape[1] + SPARE, unit_of(slopes.dtype))
        if len(self.along):
            # Products along a direction cancel: what they lose is a share of what was summed.
            lost = roundings * self.largest * math.sqrt(1 + len(self.along))
            bounds += lost * (slopes @ (rows.abs() * self.units).T)
        return bounds.mul_(self.scale * (1.0 + roundings))

    def to(self, dtype: torch.dtype) -> Norms:
        """Return the bound in another format."""
        return replace(self, units=self.units.to(dtype), along=self.along.to(dtype))


@dataclass(frozen=True)
class Spectrum:
    """What :class:`Norms` of one layer W are made from.

    Attributes:
        weights: q, [inputs].
        units: t, [units].
        gram: G / (t t^T), [units, units].
        values: its leading eigenvalues, the largest first, roughly.
        vectors: theirs, [units, values], roughly.
    """

    weights: Tensor
    units: Tensor
    gram: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, weight: Tensor, most: int) -> Spectrum | None:
        """Return the spectrum of W [units, inputs] in float64; None if a row of it is 0.

        Args:
            weight: W.
            most: largest number of directions.
        """
        weights = weight.norm(dim=0)
        weights = weights.clamp(min=float(weights.max()) * 1e-3)
        gram = (weight / weights) @ weight.T
        units = gram.diagonal().sqrt()
        if not bool((units > 0).all()) or not bool(torch.isfinite(units).all()):
            return None
        gram = gram / units / units.unsqueeze(1)
        return cls(weights, units, gram, *_leading(gram, min(most, len(gram) - 1)))

    def norms(self, directions: int) -> Norms | None:
        """Return the bound with ``directions`` vectors u_k; None if it cannot be proved.

        Args:
            directions: each costs a product, and tightens the bound.
        """
        directions = min(directions, len(self.values) - 1)
        rest = max(float(self.values[directions]), self._roundings * len(self.units)) * GROWTH
        vectors = self.vectors[:, :directions]
        excess = (self.values[:directions] - rest).clamp(min=0.0)
        left = self.gram - (vectors * excess) @ vectors.T if directions else self.gram
        for _ in range(ATTEMPTS):
            shifted = -left
            shifted.diagonal().add_(rest)
            if int(torch.linalg.cholesky_ex(shifted).info) == 0:
                return self._proved(rest, (vectors * excess.sqrt()).T)
            rest *= GROWTH
        return None

    @property
    def _roundings(self) -> float:
        # In the factor and in the Gram matrix there are some hundred units of the last place.
        return SPARE * (len(self.weights) + len(self.units) + SPARE) * DOUBLE

    def _proved(self, rest: float, along: Tensor) -> Norms:
        rest += self._roundings * len(self.units)
        scale = float(self.weights.sum().sqrt()) * (1.0 + self._roundings)
        largest = float(along.abs().max()) if len(along) else 0.0
        return Norms(scale, self.units, rest, along * self.units, largest)


def _leading(gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest ``count`` + 1 eigenvalues of a matrix and their vectors, roughly."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(len(gram), min(count + 1 + 8, len(gram)), generator=generator)
    basis = torch.linalg.qr(start.to(gram)).Q
    for _ in range(SWEEPS):
        basis = torch.linalg.qr(gram @ basis).Q
    values, turn = torch.linalg.eigh(basis.T @ gram @ basis)
    kept = slice(len(values) - count - 1, None)
    return values[kept].flip(0), (basis @ turn[:, kept]).flip(1)


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
        number: number of the node of the second layer, V.
        first: the first layer, W.
        step: the second.
        norms: norms of W.
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
        layers = dense_layers(nodes)
        assert layers is not None
        number, first, step = layers
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
        self, reaches: Sequence[Reach], reach: Reach, elements: int, fast: SecondLayer
    ) -> Reach:
        """Return better bounds, exact norms behind them where those of the spectrum leave doubt.

        Args:
            reaches: bounds of the input, then of what each node before the second layer returns.
            reach: bounds of its outputs, by cheaper bounds.
            elements: numbers to hold at a time.
            fast: computes the norms: the same in float32 where that holds, else this.
        """
        folded = self._folded(reaches)
        reach = self._within(folded, self.norms.bound(self._rows, folded.slope), reach)
        undecided = (reach.low < 0) & (reach.high > 0)
        norms = fast.row_norms(folded.slope, undecided, elements)
        return self._within(folded, norms.to(reach.low.dtype), reach)

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

    def _within(self, folded: Folded, norms: Tensor, reach: Reach) -> Reach:
        assert reach.error is not None
        low, high = self._bounds(folded, norms, reach.error)
        return reach.within(torch.maximum(reach.low, low), torch.minimum(reach.high, high))

    def _bounds(self, folded: Folded, norms: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of the second layer's outputs, given ||(V_i s) W||_1."""
        centre = self.step.value(folded.middle)
        spread = folded.half * norms + self.step.absolute(folded.inner)
        spread = spread + error * (1.0 + self.step.own_share(error.dtype))
        return centre - spread, centre + spread


def dense_layers(nodes: Sequence[Node]) -> tuple[int, Affine, Affine] | None:
    """Return the first two layers of a network that begins with two dense ones and a ReLU.

    With the number of the second one's node in front.
    """
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
    return start + 2, first, second

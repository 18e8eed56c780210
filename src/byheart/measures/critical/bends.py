"""Steps that are not affine, each between two lines while its input is within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from byheart.measures.critical.arithmetic import DOUBLE, SPARE, gamma, unit_of
from byheart.measures.critical.steps import Reach, dot

PIECES = 32
"""Pieces of an interval at whose ends a smooth function is computed."""
FUNCTION_ROUNDINGS = 64
"""Roundings of 1 + |z| that a smooth function may lose as PyTorch evaluates it at z."""


@dataclass(frozen=True)
class Relu:
    r"""max(0, z), between alpha z and u / (u - l) (z - l) where its input in [l, u] changes sign.

    Any alpha in [0, 1] is sound; unless one is given, alpha = 1 if u > -l, else 0: whichever leaves
    the smaller area. A ReLU rounds nothing.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation
    Functions (2018), section 3.3.
    """

    def value(self, z: Tensor) -> Tensor:
        """Return max(0, z)."""
        return z.clamp(min=0.0)

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be."""
        return Reach(reach.low.clamp(min=0.0), reach.high.clamp(min=0.0))

    def back(
        self, coefficients: Tensor, reach: Reach, output: Reach, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A relu(z) >= A' z + constant.

        Args:
            coefficients: A, [batch, bounds, *shape].
            reach: [l, u] of the inputs.
            output: not needed.
            given: alpha in [0, 1], [batch, *shape].
        """
        del output
        low, high = reach.low, reach.high
        below, on = low.clamp(max=0.0), low >= 0
        # Where high = low = 0 this is 0 / 0, and not taken.
        above = high.clamp(min=0.0)
        slope = torch.where(on, 1.0, above / (above - below))
        if given is None:
            alpha = (high > -low).to(low)
        else:
            alpha = torch.where((low < 0) & (high > 0), given, on.to(low))
        chosen = torch.where(coefficients > 0, alpha.unsqueeze(1), slope.unsqueeze(1))
        constant = dot(coefficients.clamp(max=0.0), -below * slope)
        # Once for what is returned, once for the shift.
        slack = 2.0 * gamma(SPARE, unit_of(low.dtype))
        return coefficients * chosen, constant - slack * dot(coefficients.abs(), reach.largest)

    def lines(self, reach: Reach, centre: Tensor, *, parallel: bool) -> Between:
        """Return two lines around max(0, centre + d) - max(0, centre), as functions of d."""
        return Leaky(0.0).lines(reach, centre, parallel=parallel)


class Line(NamedTuple):
    """slope d + shift, for each value."""

    slope: Tensor
    shift: Tensor


class Between(NamedTuple):
    """The lines between which a nonlinearity lies while its input is within its bounds."""

    lower: Line
    upper: Line

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A f(z) >= A' z + constant."""
        up, down = coefficients.clamp(min=0.0), coefficients.clamp(max=0.0)
        part = up * self.lower.slope.unsqueeze(1) + down * self.upper.slope.unsqueeze(1)
        constant = dot(up, self.lower.shift) + dot(down, self.upper.shift)
        steep = self.lower.slope.abs() + self.upper.slope.abs()
        size = steep * reach.largest + output.largest
        slack = 2.0 * gamma(SPARE, unit_of(reach.low.dtype))
        return part, constant - slack * dot(coefficients.abs(), size)


class Lines(NamedTuple):
    r"""Two lines between which a nonlinearity lies, as deviations.

    Formula: A g(c + d) - A g(c) >= (A slope - |A| spread) d + A shift - |A| gap, each factor for
    each value. For a max pool d is that of the entry which is largest at the centre.

    Attributes:
        slope: [N, *shape], mean slope of the upper and the lower line.
        spread: half the difference of their slopes; None if they are parallel.
        shift: mean of the lines at d = 0.
        gap: half their difference, with all rounding errors.
        entry: int64 [N, *shape], which entry of a window d belongs to; None for other steps.
    """

    slope: Tensor
    spread: Tensor | None
    shift: Tensor
    gap: Tensor
    entry: Tensor | None = None

    def take(self, rows: Tensor) -> Lines:
        """Return the lines of some samples."""
        return self.each(lambda value: value[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> Lines:
        """Return the lines with every tensor changed."""
        spread = None if self.spread is None else change(self.spread)
        entry = None if self.entry is None else change(self.entry)
        return Lines(change(self.slope), spread, change(self.shift), change(self.gap), entry)

    def back(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the coefficients [batch, rows, *shape] of d, and A shift and |A| gap."""
        size = coefficients.abs()
        shift, gap = dot(coefficients, self.shift), dot(size, self.gap)
        part = coefficients * self.slope.unsqueeze(1)
        if self.spread is not None:
            part.sub_(size.mul_(self.spread.unsqueeze(1)))
        return part, shift, gap


@dataclass(frozen=True)
class Leaky:
    """max(a z, z), of which a ReLU is the case a = 0.

    Attributes:
        a: slope of the negative side, in [0, 1].
        unit: largest relative error of a product as evaluated.
    """

    a: float
    unit: float = 0.0

    def value(self, z: Tensor) -> Tensor:
        """Return max(a z, z)."""
        return torch.maximum(self.a * z, z)

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be."""
        error = self._error(reach)
        return Reach(self.value(reach.low) - error, self.value(reach.high) + error)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A f(z) >= A' z + constant."""
        lines = self.lines(reach, torch.zeros_like(reach.low), parallel=False)
        return lines.back(coefficients, reach, output)

    def lines(self, reach: Reach, centre: Tensor, *, parallel: bool) -> Between:
        """Return two lines around f(centre + d) - f(centre), as functions of d."""
        low, high = reach.low.clamp(max=0.0), reach.high.clamp(min=0.0)
        width = (high - low).clamp(min=torch.finfo().tiny)
        slope = torch.where(reach.low >= 0, 1.0, (high - self.a * low) / width)
        bend = torch.where(reach.high > -reach.low, 1.0, self.a)
        lower = slope if parallel else bend.to(slope)
        at, error = self.value(centre), self._error(reach)
        shift = slope * (centre - low) + self.a * low - at
        return Between(Line(lower, lower * centre - at - error), Line(slope, shift + error))

    def _error(self, reach: Reach) -> Tensor:
        return 2.0 * self.unit * self.a * (-reach.low).clamp(min=0.0)


@dataclass(frozen=True)
class Curve:
    r"""A smooth function of every value, between two lines of one slope.

    Formula: for |f''| <= M on the n pieces of width w = (u - l) / n of [l, u], and any slope s,
    f(z) - s z is within M w^2 / 8 of what it is at the ends of the pieces. s is that of the chord.

    Attributes:
        function: f, as PyTorch computes it.
        curvature: M, never smaller than |f''|.
        unit: largest relative error of one operation as evaluated.
    """

    function: Callable[[Tensor], Tensor]
    curvature: float
    unit: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return self.function(z)

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be."""
        least, most = self._extremes(reach, torch.zeros_like(reach.low))
        error = self._error(reach)
        return Reach(least - error, most + error)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A f(z) >= A' z + constant."""
        lines = self.lines(reach, torch.zeros_like(reach.low), parallel=True)
        # In absolute terms: the lines are about f(z) - f(0).
        zero = self.function(torch.zeros_like(reach.low))
        moved = (Line(line.slope, line.shift + zero) for line in lines)
        return Between(*moved).back(coefficients, reach, output)

    def lines(self, reach: Reach, centre: Tensor, *, parallel: bool) -> Between:
        """Return two lines around f(centre + d) - f(centre), as functions of d."""
        del parallel
        width = (reach.high - reach.low).clamp(min=torch.finfo().tiny)
        slope = (self.function(reach.high) - self.function(reach.low)) / width
        least, most = self._extremes(reach, slope)
        at, error = self.function(centre) - slope * centre, self._error(reach)
        return Between(Line(slope, least - at - error), Line(slope, most - at + error))

    def _extremes(self, reach: Reach, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of f(z) - slope z."""
        width = (reach.high - reach.low) / PIECES
        least = most = self.function(reach.low) - slope * reach.low
        for piece in range(1, PIECES + 1):
            z = reach.low + piece * width
            now = self.function(z) - slope * z
            least, most = torch.minimum(least, now), torch.maximum(most, now)
        between = self.curvature * width.square() / 8
        return least - between, most + between

    def _error(self, reach: Reach) -> Tensor:
        """Return what the network and the bounds can lose to rounding."""
        return FUNCTION_ROUNDINGS * (self.unit + DOUBLE) * (1.0 + reach.largest)


@dataclass(frozen=True)
class MaxPool:
    r"""The largest of each window.

    Attributes:
        kernel: height and width of a window.
        stride: between windows.
        padding: added on each side, never the largest.
        dilation: between the entries of a window.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be."""
        low, high = (self.windows(side).amax(2) for side in (reach.low, reach.high))
        shape = (*reach.low.shape[:2], *self._output(reach.low.shape[2:]))
        return Reach(low.reshape(shape), high.reshape(shape))

    def value(self, z: Tensor) -> Tensor:
        """Return the largest of each window."""
        return functional.max_pool2d(z, self.kernel, self.stride, self.padding, self.dilation)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A maxpool(z) >= A' z + constant."""
        entry = self.largest((reach.low + reach.high) / 2)
        zero = torch.zeros_like(reach.low)
        lines = self.lines(reach, zero, entry, parallel=False)
        low, high = self.pick(reach.low, entry), self.pick(reach.high, entry)
        part, constant = lines.back(coefficients, Reach(low, high), output)
        # An entry collects one coefficient from each window it is in.
        slack = gamma(SPARE + self.kernel[0] * self.kernel[1], unit_of(low.dtype))
        constant = constant - slack * dot(part.abs(), torch.maximum(-low, high))
        height, width = reach.low.shape[2:]
        return self.spread(part, entry, (height, width), self.padding), constant

    def lines(self, reach: Reach, centre: Tensor, entry: Tensor, *, parallel: bool) -> Between:
        r"""Return two lines around the maximum minus the entry's centre, as functions of its d.

        Formula: for the entry z in [l, u] and others of at most m, the maximum is at least z and
        at most t + (u - t)^+ / (u - l) (z - l) with t = max(l, m).

        Args:
            reach: bounds of the inputs.
            centre: the inputs at d = 0.
            entry: one of each window, best that which is largest at the centre.
            parallel: with one slope for both.
        """
        high = self.windows(reach.high)
        others = high.scatter(2, entry.flatten(2).unsqueeze(2), float("-inf")).amax(2)
        low, top, at = (self.pick(values, entry) for values in (reach.low, reach.high, centre))
        least = torch.maximum(others.reshape(low.shape), low)
        slope = (top - least).clamp(min=0.0) / (top - low).clamp(min=torch.finfo().tiny)
        alpha = slope if parallel else torch.ones_like(slope)
        lower = Line(alpha, (1.0 - alpha) * (low - at))
        return Between(lower, Line(slope, least + slope * (at - low) - at))

    def largest(self, values: Tensor) -> Tensor:
        """Return which entry of each window is the largest, [batch, channels, *output] int64."""
        index = self.windows(values).argmax(2)
        return index.reshape(*values.shape[:2], *self._output(values.shape[2:]))

    def pick(self, values: Tensor, entry: Tensor) -> Tensor:
        """Return one entry of each window; ``entry`` as :meth:`largest` returns it."""
        index = entry.flatten(2).unsqueeze(2)
        return self.windows(values).gather(2, index).reshape(entry.shape)

    def matter(self, reach: Reach, centre: Tensor, *, rectified: bool) -> tuple[Tensor, Tensor]:
        """Return the inputs whose lower and whose upper bounds bear on the relaxation.

        Args:
            reach: bounds of the inputs.
            centre: inputs at the centres of the boxes.
            rectified: only what exceeds 0 is used.
        """
        low, high = self.windows(reach.low), self.windows(reach.high)
        best = torch.zeros_like(low, dtype=torch.bool)
        best.scatter_(2, self.windows(centre).argmax(2, keepdim=True), True)
        rivals = (high > low.amax(2, keepdim=True)) & ~best
        open_windows = rivals.any(2, keepdim=True)
        if rectified:
            rivals &= high > 0
            mixed = (low.amax(2, keepdim=True) < 0) & (high.amax(2, keepdim=True) > 0)
            open_windows = (open_windows & (high.amax(2, keepdim=True) > 0)) | mixed
        lower, upper = best & open_windows, (rivals | best) & open_windows
        return self._any(lower, reach.low.shape), self._any(upper, reach.low.shape)

    def _any(self, windows: Tensor, shape: torch.Size) -> Tensor:
        """Return which inputs are marked in some window."""
        down, across = self.padding
        size = (shape[2] + 2 * down, shape[3] + 2 * across)
        flat = windows.flatten(1, 2).float()
        folded = functional.fold(
            flat, size, self.kernel, dilation=self.dilation, stride=self.stride
        )
        inside = folded[..., down : down + shape[2], across : across + shape[3]]
        return inside > 0

    def _output(self, shape: torch.Size) -> tuple[int, ...]:
        return tuple(
            (size + 2 * pad - gap * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, gap in zip(
                shape, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    def windows(self, values: Tensor) -> Tensor:
        """Return [batch, channels, entries, windows]."""
        down, across = self.padding
        padded = functional.pad(values, (across, across, down, down), value=float("-inf"))
        windows = functional.unfold(padded, self.kernel, dilation=self.dilation, stride=self.stride)
        return windows.reshape(*values.shape[:2], -1, windows.shape[2])

    def spread(
        self,
        coefficients: Tensor,
        entry: Tensor,
        size: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        """Return the coefficients of the inputs: those of a window go to one entry.

        Args:
            coefficients: [batch, bounds, channels, *output].
            entry: as :meth:`largest` returns it.
            size: height and width of the inputs.
            padding: of the inputs.
        """
        down, across = padding
        places = coefficients.shape[3:]
        height, width = size[0] + 2 * down, size[1] + 2 * across
        result = coefficients.new_zeros(*coefficients.shape[:3], height, width)
        for index in range(self.kernel[0] * self.kernel[1]):
            row = index // self.kernel[1] * self.dilation[0]
            column = index % self.kernel[1] * self.dilation[1]
            rows = slice(row, row + (places[0] - 1) * self.stride[0] + 1, self.stride[0])
            columns = slice(column, column + (places[1] - 1) * self.stride[1] + 1, self.stride[1])
            mask = (entry == index).to(coefficients.dtype).unsqueeze(1)
            result[..., rows, columns].addcmul_(coefficients, mask)
        return result[..., down : down + size[0], across : across + size[1]]


Bent = Relu | Leaky | Curve | MaxPool
"""Steps that are not affine."""

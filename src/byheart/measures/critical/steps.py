"""What the certificate knows of layers: how bounds travel forward and backward through each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Size, Tensor
from torch.nn import functional

from byheart.measures.critical.arithmetic import (
    DOUBLE,
    EXTRA,
    SPARE,
    Arithmetic,
    gamma,
    unit_of,
)

_SLACK = gamma(SPARE, DOUBLE)
PIECES = 32
"""Pieces of an interval at whose ends a smooth function is computed."""
FUNCTION_ROUNDINGS = 64
"""Roundings of 1 + |z| that a smooth function may lose as PyTorch evaluates it at z."""


@dataclass(frozen=True)
class Reach:
    """Bounds on the values of a layer for all inputs in a box.

    Attributes:
        low: [batch, *shape] lower bounds.
        high: [batch, *shape] upper bounds.
        error: [batch, *shape], largest rounding error of the evaluated values; zero if None.
    """

    low: Tensor
    high: Tensor
    error: Tensor | None = None

    @property
    def largest(self) -> Tensor:
        """Return the largest absolute value, [batch, *shape]."""
        return torch.maximum(-self.low, self.high)

    def take(self, index: Tensor) -> Reach:
        """Return the bounds of these rows of the batch."""
        error = None if self.error is None else self.error[index]
        return Reach(self.low[index], self.high[index], error)

    def within(self, low: Tensor, high: Tensor) -> Reach:
        """Return tighter bounds with the same error."""
        return Reach(low, high, self.error)


def dot(coefficients: Tensor, values: Tensor) -> Tensor:
    """Return [batch, bounds] sums of [batch, bounds, *shape] times [batch, *shape]."""
    return (coefficients.flatten(2) @ values.flatten(1).unsqueeze(2)).squeeze(2)


Linear = Callable[[Tensor], Tensor]
"""A linear map of [N, *shape] to [N, *shape of its output]."""


@dataclass(frozen=True)
class Kernel:
    """A convolution, as what it does at one place of its output.

    Attributes:
        weight: [outputs, inputs / groups, height, width].
        stride: between the places.
        padding: of zeros on each side of the input; a negative one cuts the input.
        dilation: between the entries of the kernel.
        groups: of channels.
    """

    weight: Tensor
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def transpose(self, coefficients: Tensor, shape: Size) -> Tensor:
        """Return the coefficients [N, *shape] of an input, given those of the output."""
        rest = tuple(
            size + 2 * pad - gap * (kernel - 1) - 1 - stride * (places - 1)
            for size, pad, gap, kernel, stride, places in zip(
                shape[1:],
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.stride,
                coefficients.shape[2:],
                strict=True,
            )
        )
        return functional.conv_transpose2d(
            coefficients,
            self.weight,
            None,
            self.stride,
            self.padding,
            (rest[0], rest[1]),
            self.groups,
            self.dilation,
        )


@dataclass(frozen=True)
class Affine:
    r"""An affine layer W z + b with the errors of its evaluation.

    As evaluated, the layer returns W z + b + e with |e| <= E. Its share in E is
    gamma_n (|W| |z| + |b|) for n the terms of a sum; the share of the bounds' own arithmetic, which
    sums over inputs on the way forward and over outputs on the way back, has the same form.

    Attributes:
        apply: z -> W z.
        absolute: z -> |W| z.
        transpose: (coefficients [N, *output], shape of z) -> coefficients W, [N, *shape].
        bias: b, in a shape that broadcasts with an output.
        offset: |b|, with what else is added on the way to it.
        terms: how many products an output sums, and how many an input takes part in, at most.
        arithmetic: rounding errors of the model's own floating-point format.
        weight: W as a matrix [outputs, inputs], where it is held as one.
        kernel: W as a convolution, where it is one.
        scale: W as a factor of every value, in a shape that broadcasts with an output.
    """

    apply: Linear
    absolute: Linear
    transpose: Callable[[Tensor, Size], Tensor]
    bias: Tensor
    offset: Tensor
    terms: tuple[int, int]
    arithmetic: Arithmetic
    weight: Tensor | None = None
    kernel: Kernel | None = None
    scale: Tensor | None = None

    def own_share(self, dtype: torch.dtype) -> float:
        """Return what the bounds' own arithmetic can lose in eight sums, as a share of E."""
        forward, back = self.terms
        share = gamma(forward + back + SPARE, unit_of(dtype))
        return 8.0 * share / (gamma(forward + EXTRA, self.arithmetic.unit) + 4.0 * share)

    def error(self, reach: Reach) -> Tensor:
        """Return E for inputs within ``reach``, [batch, *output]."""
        forward, back = self.terms
        relative = gamma(forward + EXTRA, self.arithmetic.unit)
        relative += 4.0 * gamma(forward + back + SPARE, unit_of(reach.low.dtype))
        size = self.absolute(reach.largest) + self.offset
        error = relative * size + (forward + EXTRA) * self.arithmetic.tiny
        # Beyond the largest number the evaluation may hold infinities, of which nothing is known.
        return torch.where(size < self.arithmetic.huge / 2, error, float("inf"))

    def finer_error(self, reach: Reach, error: Tensor) -> Tensor:
        r"""Return E with what is known of the sums' parts, or ``error`` where that is smaller.

        Formula: in whatever order n products are added, each of the n sums is at most
        M = max(P, N) + |b|, for P the sum of all positive products and N that of all negative
        ones; so the sum is off by at most n u (M + gamma_n (P + N)), and its products by
        u (P + N). Products with 0 round nothing: n counts those whose input can be another number.

        Args:
            reach: bounds of the inputs.
            error: what :meth:`error` returned.
        """
        if self.kernel is None and self.weight is None:
            return error
        up, down = reach.high.clamp(min=0.0), (-reach.low).clamp(min=0.0)
        both, unit = self.absolute(up + down), self.arithmetic.unit
        largest = (both + self.apply(up - down).abs()) / 2 + self.offset
        nonzero = ((up + down) > 0).to(both)
        terms = torch.full_like(both, float(self.terms[0]))
        if self.weight is not None:
            terms = nonzero.sum(1, keepdim=True).expand_as(both)
        elif self.kernel is not None and self.kernel.groups == 1:
            ones = torch.ones_like(self.kernel.weight[:1, :1])
            kernel = self.kernel
            terms = functional.conv2d(
                nonzero.sum(1, keepdim=True),
                ones,
                None,
                kernel.stride,
                kernel.padding,
                kernel.dilation,
            ).expand_as(both)
        share = (terms + 2.0) * unit
        share = share / (1.0 - share).clamp(min=0.0)
        own = 4.0 * gamma(sum(self.terms) + SPARE, DOUBLE)
        finer = share * (largest + share * both) + (2.0 * unit + own) * (both + self.offset)
        finer = finer + (self.terms[0] + EXTRA) * self.arithmetic.tiny
        return torch.where(finer < error, finer, error)

    def value(self, z: Tensor) -> Tensor:
        """Return W z + b."""
        return self.apply(z) + self.bias

    def interval(self, reach: Reach) -> Reach:
        """Return where W z + b + e can be."""
        error = self.error(reach)
        centre = self.value((reach.low + reach.high) / 2)
        spread = self.absolute((reach.high - reach.low) / 2) + error
        return Reach(centre - spread, centre + spread, error)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A (W z + b + e) >= A' z + constant."""
        bias = self.bias.to(coefficients).expand(len(coefficients), *coefficients.shape[2:])
        constant = dot(coefficients, bias)
        if output.error is not None:
            constant = constant - dot(coefficients.abs(), output.error)
        flat = self.transpose(coefficients.flatten(0, 1), reach.low.shape[1:])
        return flat.reshape(*coefficients.shape[:2], *flat.shape[1:]), constant


def transpose_of(apply: Linear) -> Callable[[Tensor, Size], Tensor]:
    """Return the transpose of a linear map by reverse-mode differentiation: nothing is unrolled."""

    def transpose(coefficients: Tensor, shape: Size) -> Tensor:
        at = coefficients.new_zeros(len(coefficients), *shape)
        pull = torch.func.vjp(apply, at)[1]
        result: Tensor = pull(coefficients)[0]
        return result

    return transpose


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
        best = entry.flatten(2).unsqueeze(2)
        return self._scatter(part.flatten(3), best, reach.low.shape), constant

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

    def _scatter(self, kept: Tensor, best: Tensor, shape: torch.Size) -> Tensor:
        """Return the coefficients of the inputs, given those of each window's best entry."""
        batch, bounds, channels, windows = kept.shape
        entries = self.kernel[0] * self.kernel[1]
        spread = kept.new_zeros(batch, bounds, channels, entries, windows)
        index = best.unsqueeze(1).expand(batch, bounds, channels, 1, windows)
        spread.scatter_(3, index, kept.unsqueeze(3))
        down, across = self.padding
        height, width = shape[2], shape[3]
        folded = functional.fold(
            spread.flatten(0, 1).flatten(1, 2),
            (height + 2 * down, width + 2 * across),
            self.kernel,
            dilation=self.dilation,
            stride=self.stride,
        )
        inside = folded[..., down : down + height, across : across + width]
        return inside.reshape(batch, bounds, *shape[1:])


Bent = Relu | Leaky | Curve | MaxPool
"""Steps that are not affine."""


@dataclass(frozen=True)
class Flatten:
    """Another shape for the same values.

    Attributes:
        shape: shape of an output.
    """

    shape: torch.Size

    def interval(self, reach: Reach) -> Reach:
        """Return the bounds in the new shape."""
        return Reach(*(side.reshape(-1, *self.shape) for side in (reach.low, reach.high)))

    def value(self, z: Tensor) -> Tensor:
        """Return the values in the new shape."""
        return z.reshape(-1, *self.shape)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return the coefficients in the old shape."""
        del output
        batch, bounds = coefficients.shape[:2]
        old = coefficients.reshape(batch, bounds, *reach.low.shape[1:])
        return old, coefficients.new_zeros(batch, bounds)


@dataclass(frozen=True)
class Add:
    """The sum of two values: where a residual connection ends.

    Attributes:
        arithmetic: rounding errors of the model's own floating-point format.
    """

    arithmetic: Arithmetic

    def value(self, z: Tensor, addend: Tensor) -> Tensor:
        """Return the sum."""
        return z + addend

    def interval(self, reach: Reach, addend: Reach) -> Reach:
        """Return where the sum can be."""
        size = reach.largest + addend.largest
        error = (gamma(1, self.arithmetic.unit) + _SLACK) * size
        error = torch.where(size < self.arithmetic.huge / 2, error, float("inf"))
        return Reach(reach.low + addend.low - error, reach.high + addend.high + error, error)

    def back(self, coefficients: Tensor, output: Reach) -> Tensor:
        """Return the constant with which A (z + z' + e) >= A z + A z' + constant."""
        if output.error is None:
            return coefficients.new_zeros(coefficients.shape[:2])
        return -dot(coefficients.abs(), output.error)


class Step(Protocol):
    """A layer with one input through which bounds are propagated."""

    def value(self, z: Tensor) -> Tensor:
        """Return the output at an input."""
        ...

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be, given where the inputs can be."""
        ...

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return A', c with A output >= A' input + c for all inputs within ``reach``.

        Args:
            coefficients: A, [batch, bounds, *output].
            reach: bounds of the inputs, [batch, *input].
            output: what ``interval`` returned, or tighter bounds with the same error.
        """
        ...


@dataclass(frozen=True)
class Node:
    """A step and what it takes.

    Attributes:
        step: step of the network.
        inputs: numbers of the values it takes: 0 is the network's input, n + 1 what node n returns.
    """

    step: Step | Add
    inputs: tuple[int, ...]

    def interval(self, reaches: Sequence[Reach]) -> Reach:
        """Return where the outputs can be, given where all earlier values can be."""
        return self.step.interval(*(reaches[value] for value in self.inputs))


def values(nodes: Sequence[Node], x: Tensor) -> list[Tensor]:
    """Return every value of a network at an input, in the order of their numbers."""
    results = [x]
    for node in nodes:
        results.append(node.step.value(*(results[value] for value in node.inputs)))
    return results

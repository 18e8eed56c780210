"""What the certificate knows of layers: how bounds travel forward and backward through each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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


@dataclass(frozen=True)
class MaxPool:
    r"""The largest of each window: at least the entry with the largest lower bound.

    At most the largest upper bound, a constant; or that same entry, where no other can reach it.

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
        del output
        low, high = self.windows(reach.low), self.windows(reach.high)
        least, best = low.max(2, keepdim=True)
        others = high.scatter(2, best, float("-inf")).amax(2)
        certain = (others <= least.squeeze(2)).unsqueeze(1)
        flat = coefficients.flatten(3)
        most = high.amax(2)
        constant = dot(torch.where(certain, 0.0, flat.clamp(max=0.0)), most)
        kept = torch.where(certain, flat, flat.clamp(min=0.0))
        # An entry collects one coefficient from each window it is in.
        slack = gamma(SPARE + self.kernel[0] * self.kernel[1], unit_of(low.dtype))
        size = torch.maximum(most.abs(), least.squeeze(2).abs())
        constant = constant - slack * dot(flat.abs(), size)
        return self._scatter(kept, best, reach.low.shape), constant

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

"""Layers that are not affine, and the linear functions that bound them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from byheart.measures.critical.affine import Reach, dot
from byheart.measures.critical.arithmetic import DOUBLE, SPARE, Arithmetic, gamma, unit_of

_SLACK = gamma(SPARE, DOUBLE)


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
        low, high = (self._windows(side).amax(2) for side in (reach.low, reach.high))
        shape = (*reach.low.shape[:2], *self._output(reach.low.shape[2:]))
        return Reach(low.reshape(shape), high.reshape(shape))

    def value(self, z: Tensor) -> Tensor:
        """Return the largest of each window."""
        return functional.max_pool2d(z, self.kernel, self.stride, self.padding, self.dilation)

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return coefficients and constant with which A maxpool(z) >= A' z + constant."""
        del output
        low, high = self._windows(reach.low), self._windows(reach.high)
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

    def _output(self, shape: torch.Size) -> tuple[int, ...]:
        return tuple(
            (size + 2 * pad - gap * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, gap in zip(
                shape, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    def _windows(self, values: Tensor) -> Tensor:
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
        shape: of an output.
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
        arithmetic: in which the model is evaluated.
    """

    arithmetic: Arithmetic

    def value(self, z: Tensor, other: Tensor) -> Tensor:
        """Return the sum."""
        return z + other

    def interval(self, reach: Reach, other: Reach) -> Reach:
        """Return where the sum can be."""
        size = reach.largest + other.largest
        error = (gamma(1, self.arithmetic.unit) + _SLACK) * size
        error = torch.where(size < self.arithmetic.huge / 2, error, float("inf"))
        return Reach(reach.low + other.low - error, reach.high + other.high + error, error)

    def back(self, coefficients: Tensor, output: Reach) -> Tensor:
        """Return the constant with which A (z + z' + e) >= A z + A z' + constant."""
        if output.error is None:
            return coefficients.new_zeros(coefficients.shape[:2])
        return -dot(coefficients.abs(), output.error)

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

"""Affine layers, as the certificate sees them: forward on intervals, backward on linear bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from byheart.measures.critical.arithmetic import EXTRA, SPARE, Arithmetic, gamma, unit_of


@dataclass(frozen=True)
class Reach:
    """Where the values of a layer can be while the input stays in its box.

    Attributes:
        low: [batch, *shape] lower bounds.
        high: [batch, *shape] upper bounds.
        error: [batch, *shape], how far what is evaluated can be from what the layer means; zero if
            None.
    """

    low: Tensor
    high: Tensor
    error: Tensor | None = None

    @property
    def largest(self) -> Tensor:
        """Return the largest absolute value, [batch, *shape]."""
        return torch.maximum(-self.low, self.high)

    def take(self, index: Tensor) -> Reach:
        """Return the reaches of some rows of the batch."""
        error = None if self.error is None else self.error[index]
        return Reach(self.low[index], self.high[index], error)

    def within(self, low: Tensor, high: Tensor) -> Reach:
        """Return the same values with bounds that are known to be better."""
        return Reach(low, high, self.error)


def dot(coefficients: Tensor, values: Tensor) -> Tensor:
    """Return [batch, bounds] sums of [batch, bounds, *shape] times [batch, *shape]."""
    return (coefficients.flatten(2) @ values.flatten(1).unsqueeze(2)).squeeze(2)


Linear = Callable[[Tensor], Tensor]
"""A linear map of [N, *shape] to [N, *shape of its output]."""


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
        arithmetic: in which the model is evaluated.
        weight: W as a matrix [outputs, inputs], where it is held as one.
    """

    apply: Linear
    absolute: Linear
    transpose: Callable[[Tensor, Size], Tensor]
    bias: Tensor
    offset: Tensor
    terms: tuple[int, int]
    arithmetic: Arithmetic
    weight: Tensor | None = None

    def own_share(self, dtype: torch.dtype) -> float:
        """Return what the bounds' own arithmetic can lose in eight sums, as a share of E."""
        forward, back = self.terms
        own = gamma(forward + back + SPARE, unit_of(dtype))
        return 8.0 * own / (gamma(forward + EXTRA, self.arithmetic.unit) + 4.0 * own)

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

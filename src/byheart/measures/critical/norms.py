"""Bounds on a norm of a layer's weights from their spectrum: one product instead of many."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byheart.measures.critical.arithmetic import DOUBLE, SPARE, gamma, unit_of

SWEEPS = 8
"""Of the subspace iteration that looks for directions: a proof follows, so few are enough."""
GROWTH = 1.03
"""By which the bound of the other directions grows until it is proved."""
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
        found = squares.sqrt_()
        roundings = gamma(4 * rows.shape[1] + SPARE, unit_of(slopes.dtype))
        if len(self.along):
            # Products along a direction cancel: what they lose is a share of what was summed.
            lost = roundings * self.largest * math.sqrt(1 + len(self.along))
            found += lost * (slopes @ (rows.abs() * self.units).T)
        return found.mul_(self.scale * (1.0 + roundings))

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
            most: how many directions may be asked for.
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
        """Return the bound with so many u_k; None if it cannot be proved.

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

"""The eigenvalue of largest magnitude of symmetric operators, by Lanczos iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDTH = 48
"""Vectors kept in memory; the iteration restarts from the best of them when they are full."""

Floats = NDArray[np.float64]


class Operators(Protocol):
    """R symmetric operators on vectors of one length P, applied as one program."""

    def product(self, vectors: Tensor) -> Tensor:
        """Return A_r v_r for each r, [R, P]."""
        ...

    def select(self, replicas: Tensor) -> Self:
        """Return some of the operators, by index."""
        ...


@dataclass(frozen=True)
class RitzPair:
    """An approximate eigenpair: the best one in a Krylov space.

    Attributes:
        value: theta, the Ritz value.
        vector: [P] of unit length, the Ritz vector.
        iterations: products with the operator spent on it.
    """

    value: float
    vector: Tensor
    iterations: int


@dataclass(frozen=True)
class RitzPairs:
    """An approximate eigenpair of each of R operators.

    Attributes:
        values: [R]; NaN where a product was not finite.
        vectors: [R, P] of unit length.
        iterations: int64 [R], products spent on each.
    """

    values: Floats
    vectors: Tensor
    iterations: NDArray[np.int64]


def dominant(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    width: int = WIDTH,
) -> RitzPair:
    """Approximate the eigenpair of largest magnitude of one symmetric operator.

    Args:
        product: A, maps [P] to [P].
        start: [P], any vector but zero.
        tolerance: as for :func:`dominant_each`.
        max_iterations: as for :func:`dominant_each`.
        width: as for :func:`dominant_each`.

    Returns:
        The pair with the largest |theta|.
    """
    pairs = dominant_each(
        _One(product),
        start[None],
        tolerance=tolerance,
        max_iterations=max_iterations,
        width=width,
    )
    return RitzPair(float(pairs.values[0]), pairs.vectors[0], int(pairs.iterations[0]))


def dominant_each(
    operators: Operators,
    start: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    width: int = WIDTH,
) -> RitzPairs:
    r"""Approximate the eigenpairs of largest magnitude of symmetric operators A_r, all at once.

    Formula: with V an orthonormal basis of span(v, A v, A^2 v, ...), the Ritz values are the
    eigenvalues of T = V^T A V, and a Ritz pair (theta, V s) has the residual
    ||A V s - theta V s|| = beta |s_last|, beta the length of the next basis vector before it is
    normalised. Each new vector is orthogonalised against the vectors that it has a share of, and
    then once more against the whole basis. A full basis is replaced by its Ritz vectors of largest
    magnitude (thick restart), which loses nothing that has converged. The operators go in step, and
    one leaves when

    - the residual of the pair with the largest |theta| is at most tolerance * |theta| and the
      other end of the spectrum cannot, within its own residual, reach further from zero;
    - or the basis spans an invariant space: T is then exact;
    - or a product is not finite;
    - or the iteration limit is reached.

    Args:
        operators: A_r, map [R, P] to [R, P].
        start: [R, P] v, any vectors but zero; almost every one has a share of every eigenvector.
        tolerance: relative, on the residual.
        max_iterations: limit on products with each A_r.
        width: basis vectors kept, 2 or more: memory is R * width * P numbers.

    Returns:
        For each operator the pair with the largest |theta|.

    Source: Lanczos (1950); thick restart: Wu and Simon (2000).
    """
    replicas, dimension = start.shape
    width = min(width, dimension)
    found = RitzPairs(np.full(replicas, np.nan), start.clone(), np.zeros(replicas, dtype=np.int64))
    live = np.arange(replicas)
    basis = start.new_empty(replicas, width, dimension)
    basis[:, 0] = start / lengths(start)[:, None]
    matrix = np.zeros((replicas, width, width))
    size = recent = 1
    for iteration in range(1, max_iterations + 1):
        image = operators.product(basis[:, size - 1])
        column, rest = _orthogonal(image, basis[:, :size], recent)
        beta = lengths(rest)
        reach = beta.cpu().double().numpy()
        broken = ~np.isfinite(reach)
        column[broken] = 0.0
        matrix[:, :size, size - 1] = matrix[:, size - 1, :size] = column
        values, vectors = np.linalg.eigh(matrix[:, :size, :size])
        far = np.abs(values).max(axis=1)
        settled = _settled(values, reach[:, None] * np.abs(vectors[:, -1]), tolerance)
        invariant = (size == dimension) | (reach <= _rounding(start) * far)
        left = settled | invariant | broken | (iteration == max_iterations)
        if left.any():
            _note(found, live, left, broken, values, vectors, basis, iteration)
            if left.all():
                break
            stay = torch.from_numpy(np.flatnonzero(~left)).to(start.device)
            operators = operators.select(stay)
            whole, rest, beta = basis, rest[stay], beta[stay]
            basis = whole.new_empty(len(stay), width, dimension)
            basis[:, :size] = whole[stay, :size]
            live, matrix, values, vectors = (a[~left] for a in (live, matrix, values, vectors))
        recent = 2
        if size == width:
            size = max(1, width // 2)
            recent = size + 1
            best = np.argsort(-np.abs(values), axis=1)[:, :size]
            chosen = np.take_along_axis(vectors, best[:, None, :], axis=2)
            basis[:, :size] = _rotation(chosen, basis) @ basis
            matrix = np.zeros_like(matrix)
            matrix[:, range(size), range(size)] = np.take_along_axis(values, best, axis=1)
        basis[:, size] = rest / beta[:, None]
        size += 1
    return found


def length(vector: Tensor) -> float:
    """Return the Euclidean norm, of numbers whose squares would underflow, too."""
    return float(lengths(vector[None])[0])


def lengths(vectors: Tensor) -> Tensor:
    """Return the Euclidean norm of each of the vectors [R, P], as :func:`length` does."""
    largest = vectors.abs().amax(dim=1)
    scale = torch.where(largest > 0, largest, 1.0)
    scaled: Tensor = torch.linalg.vector_norm(vectors / scale[:, None], dim=1)
    return largest * scaled


class _One:
    """A single operator as a pack of one."""

    def __init__(self, product: Callable[[Tensor], Tensor]) -> None:
        self._product = product

    def product(self, vectors: Tensor) -> Tensor:
        return self._product(vectors[0])[None]

    def select(self, replicas: Tensor) -> _One:
        return self


def _note(
    found: RitzPairs,
    live: NDArray[np.int64],
    left: NDArray[np.bool_],
    broken: NDArray[np.bool_],
    values: Floats,
    vectors: Floats,
    basis: Tensor,
    iteration: int,
) -> None:
    """Write down the best pair of those that leave."""
    rows = np.flatnonzero(left)
    top = np.abs(values[rows]).argmax(axis=1)
    best = np.take_along_axis(vectors[rows], top[:, None, None], axis=2)
    at = torch.from_numpy(rows).to(basis.device)
    ritz = (_rotation(best, basis) @ basis[at][:, : vectors.shape[1]])[:, 0]
    who = live[rows]
    found.values[who] = np.where(broken[rows], np.nan, values[rows, top])
    found.vectors[torch.from_numpy(who).to(basis.device)] = ritz / lengths(ritz)[:, None]
    found.iterations[who] = iteration


def _settled(values: Floats, residuals: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Say where the pair of largest magnitude has converged and the other end stays nearer."""
    rows = np.arange(len(values))
    top = np.abs(values).argmax(axis=1)
    far = np.abs(values[rows, top])
    sign = np.sign(values[rows, top])
    other = np.where(sign > 0, 0, values.shape[1] - 1)
    reach = residuals[rows, other] - sign * values[rows, other]
    nearer = (reach <= (1 + tolerance) * far) | (residuals[rows, other] <= tolerance * far)
    return np.asarray((residuals[rows, top] <= tolerance * far) & nearer)


def _orthogonal(vectors: Tensor, basis: Tensor, recent: int) -> tuple[Floats, Tensor]:
    """Return the vectors' components in their bases, and what of them lies outside.

    Args:
        vectors: [R, P] products with the last vectors of the bases.
        basis: [R, size, P].
        recent: how many vectors at the end of a basis a product can have a share of, but for
            rounding; these are taken out twice, all others once, since once is not enough where a
            vector lies nearly inside the space (Parlett).
    """
    near = basis[:, -recent:]
    first = near @ vectors[..., None]
    rest = torch.baddbmm(vectors[..., None], near.mT, first, alpha=-1)
    components = basis @ rest
    rest.baddbmm_(basis.mT, components, alpha=-1)
    components[:, -recent:] += first
    return components[..., 0].cpu().double().numpy(), rest[..., 0]


def _rotation(vectors: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(vectors.swapaxes(1, 2).copy()).to(like)


def _rounding(like: Tensor) -> float:
    return 10 * torch.finfo(like.dtype).eps

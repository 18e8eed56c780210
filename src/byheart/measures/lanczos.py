"""The eigenvalue of largest magnitude of symmetric operators, by Lanczos iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_VECTORS = 48
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


def dominant_pairs(
    operators: Operators,
    start: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    width: int = MAX_VECTORS,
) -> RitzPairs:
    r"""Approximate the eigenpairs of largest magnitude of symmetric operators A_r, all at once.

    Formula: with V an orthonormal basis of span(v, A v, A^2 v, ...), the Ritz values are the
    eigenvalues of T = V^T A V, and a Ritz pair (theta, V s) has the residual
    ||A V s - theta V s|| = beta |s_last|, beta the length of the next basis vector before it is
    normalised. Each new vector is orthogonalised against the vectors that it has a share of, and
    then once more against the whole basis. A full basis is replaced by its Ritz vectors of largest
    magnitude (thick restart), which keeps all that has converged. The operators go in step, and one
    leaves when

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
    pairs = RitzPairs(np.full(replicas, np.nan), start.clone(), np.zeros(replicas, dtype=np.int64))
    running = np.arange(replicas)
    basis = start.new_empty(replicas, width, dimension)
    basis[:, 0] = start / lengths(start)[:, None]
    matrix = np.zeros((replicas, width, width))
    size = recent = 1
    for iteration in range(1, max_iterations + 1):
        image = operators.product(basis[:, size - 1])
        column, rest = orthogonal(image, basis[:, :size], recent)
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
            _note(pairs, running, left, broken, values, vectors, basis, iteration)
            if left.all():
                break
            stay = torch.from_numpy(np.flatnonzero(~left)).to(start.device)
            operators = operators.select(stay)
            whole, rest, beta = basis, rest[stay], beta[stay]
            basis = whole.new_empty(len(stay), width, dimension)
            basis[:, :size] = whole[stay, :size]
            running, matrix, values, vectors = (
                a[~left] for a in (running, matrix, values, vectors)
            )
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
    return pairs


def lengths(vectors: Tensor) -> Tensor:
    """Return the Euclidean norms of vectors [R, P], also where their squares would underflow."""
    largest = vectors.abs().amax(dim=1)
    scale = torch.where(largest > 0, largest, 1.0)
    scaled: Tensor = torch.linalg.vector_norm(vectors / scale[:, None], dim=1)
    return largest * scaled


def _note(
    pairs: RitzPairs,
    running: NDArray[np.int64],
    left: NDArray[np.bool_],
    broken: NDArray[np.bool_],
    values: Floats,
    vectors: Floats,
    basis: Tensor,
    iteration: int,
) -> None:
    """Store the best pair of the operators that leave."""
    rows = np.flatnonzero(left)
    top = np.abs(values[rows]).argmax(axis=1)
    best = np.take_along_axis(vectors[rows], top[:, None, None], axis=2)
    at = torch.from_numpy(rows).to(basis.device)
    ritz = (_rotation(best, basis) @ basis[at][:, : vectors.shape[1]])[:, 0]
    replicas = running[rows]
    pairs.values[replicas] = np.where(broken[rows], np.nan, values[rows, top])
    pairs.vectors[torch.from_numpy(replicas).to(basis.device)] = ritz / lengths(ritz)[:, None]
    pairs.iterations[replicas] = iteration


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


def orthogonal(vectors: Tensor, basis: Tensor, recent: int) -> tuple[Floats, Tensor]:
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

"""The eigenvalue of largest magnitude of a symmetric operator, by Lanczos iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDTH = 48
"""Vectors kept in memory; the iteration restarts from the best of them when they are full."""


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


def dominant(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    width: int = WIDTH,
) -> RitzPair:
    r"""Approximate the eigenpair of largest magnitude of a symmetric operator A.

    Formula: with V an orthonormal basis of span(v, A v, A^2 v, ...), the Ritz values are the
    eigenvalues of T = V^T A V, and a Ritz pair (theta, V s) has the residual
    ||A V s - theta V s|| = beta |s_last|, beta the length of the next basis vector before it is
    normalised. Each new vector is orthogonalised against the whole basis, twice. A full basis is
    replaced by its Ritz vectors of largest magnitude (thick restart), which loses nothing that
    has converged. The iteration ends when

    - the residual of the pair with the largest |theta| is at most tolerance * |theta| and the
      other end of the spectrum cannot, within its own residual, reach further from zero;
    - or the basis spans an invariant space: T is then exact;
    - or the iteration limit is reached.

    Args:
        product: A, maps [P] to [P].
        start: [P] v, any vector but zero; almost every one has a share of every eigenvector.
        tolerance: relative, on the residual.
        max_iterations: limit on products with A.
        width: basis vectors kept, 2 or more: memory is width * P numbers.

    Returns:
        The pair with the largest |theta|.

    Source: Lanczos (1950); thick restart: Wu and Simon (2000).
    """
    width = min(width, len(start))
    basis = start.new_empty(width, len(start))
    basis[0] = start / length(start)
    matrix = np.zeros((width, width))
    size = 1
    for iteration in range(1, max_iterations + 1):
        column, rest = _orthogonal(product(basis[size - 1]), basis[:size])
        matrix[:size, size - 1] = matrix[size - 1, :size] = column
        beta = length(rest)
        values, vectors = np.linalg.eigh(matrix[:size, :size])
        top = int(np.abs(values).argmax())
        settled = _settled(values, beta * np.abs(vectors[-1]), tolerance)
        invariant = size == len(start) or beta <= _rounding(start) * abs(values[top])
        if settled or invariant or iteration == max_iterations:
            break
        if size == width:
            kept = np.argsort(-np.abs(values))[: width // 2]
            size = len(kept)
            basis[:size] = _rotation(vectors[:, kept], basis) @ basis
            matrix = np.zeros((width, width))
            np.fill_diagonal(matrix[:size, :size], values[kept])
        basis[size] = rest / beta
        size += 1
    best = (_rotation(vectors[:, [top]], basis) @ basis[: len(vectors)])[0]
    return RitzPair(float(values[top]), best / length(best), iteration)


def length(vector: Tensor) -> float:
    """Return the Euclidean norm, of numbers whose squares would underflow, too."""
    largest = vector.abs().max()
    if not bool(largest > 0):
        return 0.0
    return float(largest) * float(torch.linalg.vector_norm(vector / largest))


def _settled(values: NDArray[np.float64], residuals: NDArray[np.float64], tolerance: float) -> bool:
    """Say whether the pair of largest magnitude has converged and the other end stays nearer."""
    top = int(np.abs(values).argmax())
    far = abs(values[top])
    if not residuals[top] <= tolerance * far:
        return False
    other = 0 if values[top] > 0 else len(values) - 1
    reach = residuals[other] - np.sign(values[top]) * values[other]
    return bool(reach <= (1 + tolerance) * far or residuals[other] <= tolerance * far)


def _orthogonal(vector: Tensor, basis: Tensor) -> tuple[NDArray[np.float64], Tensor]:
    """Return a vector's components in the basis, and what of it lies outside."""
    components = basis @ vector
    rest = vector - components @ basis
    # Once is not enough where the vector lies nearly inside; twice is (Parlett).
    again = basis @ rest
    total = (components + again).cpu().double().numpy()
    return total, rest - again @ basis


def _rotation(vectors: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(vectors.T.copy()).to(like)


def _rounding(like: Tensor) -> float:
    return 10 * torch.finfo(like.dtype).eps

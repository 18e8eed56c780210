"""The whole spectrum of a loss's Hessian: its trace, and the density of its eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.lanczos import lengths, orthogonal
from byheart.measures.modules import evaluating, pack_of_one
from byheart.measures.sharpness import pack_loss
from byheart.seeds import seed as seed_of

Floats = NDArray[np.float64]
Product = Callable[[Tensor], Tensor]
"""Maps a vector v [P] to H v [P]."""


@dataclass(frozen=True)
class HessianTrace:
    """The sum of the Hessian's eigenvalues, and how far it can be trusted.

    Attributes:
        trace: the estimate, in the unit of the loss over that of a parameter squared.
        standard_error: of the estimate, over the random vectors; 0 where it is exact.
        products: products with H that it took.
    """

    trace: float
    standard_error: float
    products: int


@dataclass(frozen=True)
class HessianDensity:
    """The density of the Hessian's eigenvalues, as Gauss quadrature rules from random vectors.

    Attributes:
        eigenvalues: [V, K] nodes of the rule of each random vector, ascending. The outer ones
            approach the ends of the spectrum.
        weights: [V, K] the share of all eigenvalues near each node; each row sums to 1.
        parameters: P, the number of eigenvalues.
    """

    eigenvalues: Floats
    weights: Floats
    parameters: int

    def at(self, values: ArrayLike, width: float | None = None) -> Floats:
        """Return the density at some values, smoothed by a Gaussian; it integrates to 1.

        Args:
            values: [M] where to look.
            width: standard deviation of the Gaussian, in the unit of the eigenvalues. Default: a
                hundredth of the range of the nodes.

        Returns:
            [M] in one over the unit of the eigenvalues.

        Raises:
            InputError: a width that is not positive.
        """
        if width is None:
            reach = float(self.eigenvalues.max() - self.eigenvalues.min())
            width = reach / 100 or 1.0
        if not width > 0:
            raise InputError(f"width must be positive, got {width}")
        gaps = np.asarray(values, dtype=np.float64)[:, None, None] - self.eigenvalues
        bells = np.exp(-((gaps / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
        return np.asarray((bells * self.weights).sum(axis=2).mean(axis=1))


def hessian_trace(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    products: int = 60,
    seed: int = 0,
    batch_size: int = 1024,
) -> HessianTrace:
    r"""Return the trace of the Hessian of the training loss, by Hutch++.

    Formula: with S and G of random signs, m/3 columns each, and Q an orthonormal basis of H S,

        tr(H) ~ tr(Q^T H Q) + (3/m) tr(G^T (I - Q Q^T) H (I - Q Q^T) G).

    The first term is exact on the space of the large eigenvalues. The second one is Hutchinson's
    estimate of what is left, and alone has an error. H and the loss are those of
    :func:`byheart.sharpness`; the model is left as it was.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs.
        y: int64 [N] training labels.
        products: m, products with H, 6 or more. Memory: m/3 vectors of P numbers.
        seed: seed of the signs.
        batch_size: examples in memory at once; it changes the result by rounding only.

    Returns:
        The trace, in the unit of the loss over that of a parameter squared, with its standard
        error. It is exact if 3 P <= m.

    Raises:
        InputError: a setting out of range, or what :func:`byheart.sharpness` refuses.

    Source: Hutchinson (1990); Hutch++: Meyer, Musco, Musco and Woodruff (2021).

    Example:
        >>> model = torch.nn.Linear(1, 2, bias=False).double()
        >>> _ = model.weight.data.zero_()
        >>> x = torch.tensor([[2.0], [2.0]], dtype=torch.float64)
        >>> round(hessian_trace(model, x, torch.tensor([0, 1])).trace, 9)  # 2 x^2 / 4
        2.0
    """
    if products < 6:
        raise InputError(f"products must be 6 or more, got {products}")
    generator = torch.Generator().manual_seed(seed_of("hessian-trace", seed) % 2**63)

    with _products(model, x, y, batch_size) as (product, like):
        return _hutch_plus_plus(product, like, products, generator)


def hessian_density(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    vectors: int = 4,
    steps: int = 48,
    seed: int = 0,
    batch_size: int = 1024,
) -> HessianDensity:
    r"""Return the density of the eigenvalues of the Hessian, by stochastic Lanczos quadrature.

    Formula: for a random unit vector v, K Lanczos steps give a tridiagonal T = V^T H V with
    eigenpairs (theta_i, s_i). Then sum_i s_{i,1}^2 f(theta_i) ~ v^T f(H) v, exact for polynomials
    up to degree 2 K - 1, and its mean over v is tr(f(H)) / P. The Lanczos basis is kept orthogonal.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs.
        y: int64 [N] training labels.
        vectors: V, random vectors; each takes K products with H.
        steps: K, 2 or more. Memory: K vectors of P numbers.
        seed: seed of the vectors.
        batch_size: examples in memory at once; it changes the result by rounding only.

    Returns:
        Nodes [V, K], in the unit of the eigenvalues (that of the loss over that of a parameter
        squared), and their weights; :meth:`HessianDensity.at` evaluates the density.

    Raises:
        InputError: a setting out of range, or what :func:`byheart.sharpness` refuses.

    Source: Lin, Saad and Yang (2016); for networks: Ghorbani, Krishnan and Xiao (2019).
    """
    if vectors < 1 or steps < 2:
        raise InputError(f"vectors must be 1 or more and steps 2 or more, got {vectors}, {steps}")
    generator = torch.Generator().manual_seed(seed_of("hessian-density", seed) % 2**63)

    with _products(model, x, y, batch_size) as (product, like):
        rules = [_quadrature(product, _signs(generator, like, 1)[0], steps) for _ in range(vectors)]
    # A rule is shorter, and exact, where its space became invariant.
    longest = max(len(nodes) for nodes, _ in rules)
    nodes = np.stack([np.pad(n, (0, longest - len(n)), mode="edge") for n, _ in rules])
    weights = np.stack([np.pad(w, (0, longest - len(w))) for _, w in rules])
    return HessianDensity(nodes, weights, len(like))


@contextmanager
def _products(
    model: nn.Module, x: Tensor, y: Tensor, batch_size: int
) -> Iterator[tuple[Product, Tensor]]:
    """Yield the products with the Hessian, and a vector [P] of the same dtype and device."""
    with evaluating(model), torch.no_grad():
        network, data = pack_of_one(model, x, y, batch_size=batch_size)
        loss = pack_loss(network, data, chunk=batch_size)

        def product(vector: Tensor) -> Tensor:
            image = loss.product(vector[None])[0]
            if not torch.isfinite(image).all():
                raise InputError(
                    "the Hessian of the loss is not finite: check the model's operations"
                )
            return image

        yield product, loss.theta[0]


def _signs(generator: torch.Generator, like: Tensor, count: int) -> Tensor:
    """Return vectors of random signs, [count, P]."""
    draws = torch.randint(0, 2, (count, len(like)), generator=generator, dtype=torch.int8)
    return (2 * draws - 1).to(like)


def _hutch_plus_plus(
    product: Product, like: Tensor, products: int, generator: torch.Generator
) -> HessianTrace:
    count = min(products // 3, len(like))
    images = torch.stack([product(v) for v in _signs(generator, like, count)])
    basis = torch.linalg.qr(images.T).Q.T
    exact = sum(float((q * product(q)).sum()) for q in basis)
    if count == len(like):
        return HessianTrace(exact, 0.0, 2 * count)
    left = _signs(generator, like, count)
    left -= (left @ basis.T) @ basis
    forms = np.array([float((v * product(v)).sum()) for v in left])
    error = float(forms.std(ddof=1)) / math.sqrt(count)
    return HessianTrace(exact + float(forms.mean()), error, 3 * count)


def _quadrature(product: Product, start: Tensor, steps: int) -> tuple[Floats, Floats]:
    """Return nodes and weights of the Gauss rule of one vector, each [K] or shorter."""
    steps = min(steps, len(start))
    basis = start.new_empty(1, steps, len(start))
    basis[0, 0] = start / lengths(start[None])[0]
    matrix = np.zeros((steps, steps))
    size = 1
    while True:
        column, rest = orthogonal(
            product(basis[0, size - 1])[None], basis[:, :size], recent=min(size, 2)
        )
        matrix[:size, size - 1] = matrix[size - 1, :size] = column[0]
        length = float(lengths(rest)[0])
        rounding = 10 * torch.finfo(start.dtype).eps * np.abs(matrix).max()
        if size == steps or length <= rounding:
            break
        basis[0, size] = rest[0] / length
        size += 1
    values, vectors = np.linalg.eigh(matrix[:size, :size])
    return values, vectors[0] ** 2

"""Sharpness of the loss of any PyTorch classifier: its Hessian's largest eigenvalue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.lanczos import dominant, length, lengths
from byheart.measures.modes import evaluating
from byheart.measures.written_loss import training_loss
from byheart.seeds import seed as seed_of


@dataclass(frozen=True)
class Sharpness:
    """The Hessian's eigenvalue of largest magnitude, and how far it can be trusted.

    Attributes:
        eigenvalue: lambda, with its sign; for a unit vector v it is the Rayleigh quotient v^T H v.
        residual: ||H v - lambda v|| / |lambda|, from one more product with H at the end: an
            eigenvalue of H lies within residual * |lambda| of lambda. 0 for a zero Hessian.
        iterations: products with H that the search took.
        converged: the residual is within the tolerance that was asked for.
    """

    eigenvalue: float
    residual: float
    iterations: int
    converged: bool


def sharpness(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    tolerance: float = 1e-3,
    seed: int = 0,
    scale_invariant: bool = False,
    max_iterations: int = 200,
    batch_size: int = 1024,
) -> Sharpness:
    r"""Return the eigenvalue of largest magnitude of the Hessian of the training loss.

    Formula: H = d^2 L / d theta^2 with L the mean cross-entropy over (x, y) and theta all trainable
    parameters; lambda is its eigenvalue of largest magnitude. With ``scale_invariant``, that of
    D H D with D = diag(|theta|): curvature along relative changes of the parameters, which
    rescaling the units of a ReLU network does not change (a parameter that is exactly zero has no
    scale, and drops out).

    Products with H are exact, by a second backward pass; the eigenvalue is found by Lanczos
    iteration (see :func:`byheart.measures.lanczos.dominant`). The model is put into eval mode,
    submodule by submodule, and left as it was; its parameters, gradients and buffers and the global
    random state are not touched. Frozen parameters (``requires_grad=False``) are constants.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs.
        y: int64 [N] training labels.
        tolerance: largest relative residual, between 0 and 1. In float32, not below about 1e-5.
        seed: of the start vector.
        scale_invariant: measure D H D instead of H.
        max_iterations: limit on products with H.
        batch_size: examples in memory at once; it changes the result by rounding only.

    Returns:
        The eigenvalue, in the unit of the loss over that of a parameter squared (of the loss alone
        if ``scale_invariant``), with its verified residual; where the limit was reached first,
        ``converged`` is False and the residual says how far it got.

    Raises:
        InputError: a setting out of range, inputs and labels that do not fit, no trainable
            parameter, a model whose output is not finite logits [N, classes], is not deterministic
            in eval mode, or cannot be differentiated twice.

    Source: K17 (3). Scale invariance: Dinh et al. (2017), Kwon et al. (2021).

    Example:
        >>> model = torch.nn.Linear(1, 2, bias=False).double()
        >>> _ = model.weight.data.zero_()
        >>> x = torch.tensor([[2.0], [2.0]], dtype=torch.float64)
        >>> round(sharpness(model, x, torch.tensor([0, 1])).eigenvalue, 9)  # x^2 / 2
        2.0
    """
    _check(tolerance, max_iterations)
    with evaluating(model):
        loss = training_loss(model, x, y, batch_size=batch_size)
        scale = loss.theta.abs() if scale_invariant else None

        def product(vector: Tensor) -> Tensor:
            return loss.product(vector) if scale is None else scale * loss.product(scale * vector)

        gradient = loss.gradient()
        pair = dominant(
            product,
            start_vectors(seed, (gradient if scale is None else scale * gradient)[None])[0],
            tolerance=within(tolerance, loss.theta.dtype),
            max_iterations=max_iterations,
        )
        image = product(pair.vector)
    eigenvalue = float(pair.vector @ image)
    residual = length(image - eigenvalue * pair.vector)
    if residual:
        residual = residual / abs(eigenvalue) if eigenvalue else float("inf")
    return Sharpness(eigenvalue, residual, pair.iterations, residual <= tolerance)


def start_vector(purpose: str, seed: int, like: Tensor) -> Tensor:
    """Return a Gaussian vector [P] that depends on the purpose and the seed alone."""
    generator = torch.Generator().manual_seed(seed_of(purpose, seed) % 2**63)
    return torch.randn(len(like), generator=generator, dtype=torch.float64).to(
        dtype=like.dtype, device=like.device
    )


def start_vectors(seed: int, gradients: Tensor) -> Tensor:
    """Return where a search for eigenvectors starts, [R, P].

    Formula: r / ||r|| + g / ||g||, with r Gaussian, the same for all. The gradient g lies mostly
    among the eigenvectors of large eigenvalues; r makes sure that none of them is left out.

    Args:
        seed: of r.
        gradients: [R, P] g.

    Source: the gradient's place in the spectrum: Gur-Ari, Roberts and Dyer (2018).
    """
    random = start_vector("sharpness", seed, gradients[0])
    size = lengths(gradients)[:, None]
    sound = torch.isfinite(size) & (size > 0)
    share = torch.where(sound, gradients / torch.where(sound, size, 1.0), 0.0)
    return random / length(random) + share


def within(tolerance: float, dtype: torch.dtype) -> float:
    """Return a tolerance a little smaller, so that rounding pushes no residual over the line."""
    return max(tolerance / 2, 0.9 * tolerance - 50 * torch.finfo(dtype).eps)


def _check(tolerance: float, max_iterations: int) -> None:
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance must lie between 0 and 1, both excluded, got {tolerance}")
    if max_iterations < 1:
        raise InputError(f"max_iterations must be 1 or more, got {max_iterations}")

"""Sharpness: the largest Hessian eigenvalue of a classifier's loss, for a module or a pack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.lanczos import dominant_pairs, lengths
from byheart.measures.mlp_loss import MLPLoss, without_idle_weights
from byheart.measures.modules import evaluating, pack_of_one
from byheart.measures.training_loss import (
    AutogradLoss,
    DifferentiableNetwork,
    PackData,
    PackLoss,
)
from byheart.networks.base import PackNetwork
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import seed as seed_of

Floats = NDArray[np.float64]

MAX_BASIS_BYTES = 2**28
"""Largest memory for Lanczos vectors, in bytes; a pack that needs more is measured in parts."""
TOGETHER = 2**24
"""Largest memory for a chunk's activations on a CPU, in bytes: more would not fit its caches."""
LANCZOS_VECTORS = 32
"""Number of Lanczos vectors per replica."""


@dataclass(frozen=True)
class Sharpness:
    """The Hessian's eigenvalue of largest magnitude, and how far it can be trusted.

    Attributes:
        eigenvalue: lambda, with its sign; for a unit vector v it is the Rayleigh quotient v^T H v.
        residual: ||H v - lambda v|| / |lambda|, from one more product with H at the end: an
            eigenvalue of H lies within residual * |lambda| of lambda. 0 for a zero Hessian.
        iterations: products with H that the search took.
        converged: the residual is within the tolerance.
    """

    eigenvalue: float
    residual: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class PackSharpness:
    """The fields of :class:`Sharpness`, for each of R replicas.

    Attributes:
        eigenvalue: [R]; NaN where the Hessian is not finite.
        residual: [R].
        iterations: int64 [R].
        converged: bool [R].
    """

    eigenvalue: Floats
    residual: Floats
    iterations: NDArray[np.int64]
    converged: NDArray[np.bool_]


def sharpness(
    model: nn.Module,
    x: Tensor | Mapping[str, Tensor],
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

    Products with H are exact, by a second backward pass; Lanczos iteration finds the eigenvalue
    (see :func:`byheart.measures.lanczos.dominant_pairs`). The measurement runs in eval mode and
    leaves the model as it was: its modes, parameters, gradients and buffers, and the global random
    state. Frozen parameters (``requires_grad=False``) are constants.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs; or a mapping of such tensors, which the model is called
            with.
        y: int64 [N] training labels.
        tolerance: largest relative residual, between 0 and 1. In float32, not below about 1e-5.
        seed: seed of the start vector.
        scale_invariant: measure D H D instead of H.
        max_iterations: limit on products with H.
        batch_size: examples in memory at once; it changes the result by rounding only.

    Returns:
        The eigenvalue, in the unit of the loss over that of a parameter squared (of the loss alone
        if ``scale_invariant``), with its verified residual. If the limit is reached first,
        ``converged`` is False.

    Raises:
        InputError: a setting out of range, inputs and labels that do not fit, no trainable
            parameter, or a model that cannot be measured: its output is not finite logits
            [N, classes], is not deterministic in eval mode, or has no second derivative.

    Source: K17 (3). Scale invariance: Dinh et al. (2017), Kwon et al. (2021).

    Example:
        >>> model = torch.nn.Linear(1, 2, bias=False).double()
        >>> _ = model.weight.data.zero_()
        >>> x = torch.tensor([[2.0], [2.0]], dtype=torch.float64)
        >>> round(sharpness(model, x, torch.tensor([0, 1])).eigenvalue, 9)  # x^2 / 2
        2.0
    """
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance must lie between 0 and 1, both excluded, got {tolerance}")
    if max_iterations < 1:
        raise InputError(f"max_iterations must be 1 or more, got {max_iterations}")
    with evaluating(model), torch.no_grad():
        network, data = pack_of_one(model, x, y, batch_size=batch_size)
        measured = pack_sharpness(
            network,
            data,
            tolerance=tolerance,
            seed=seed,
            scale_invariant=scale_invariant,
            max_iterations=max_iterations,
            chunk=batch_size,
        )
    if np.isnan(measured.eigenvalue[0]):
        raise InputError("the Hessian of the loss is not finite: check the model's operations")
    return Sharpness(
        float(measured.eigenvalue[0]),
        float(measured.residual[0]),
        int(measured.iterations[0]),
        bool(measured.converged[0]),
    )


def pack_sharpness(
    network: PackNetwork,
    data: PackData,
    *,
    tolerance: float = 1e-3,
    seed: int = 0,
    scale_invariant: bool = False,
    max_iterations: int = 200,
    chunk: int = 1024,
) -> PackSharpness:
    r"""Return for each replica the eigenvalue of largest magnitude of its loss's Hessian.

    Formula: H_r = d^2 L_r / d theta_r^2 with L_r the mean cross-entropy of replica r over its own
    training examples; lambda_r as in :func:`sharpness`, which is the case R = 1. All replicas take
    each product with their Hessian together, and leave when they have converged.

    Args:
        network: R replicas in eval mode; left as they are.
        data: their training examples.
        tolerance: largest relative residual. In float32, not below about 1e-5.
        seed: seed of the start vector, the same for all replicas.
        scale_invariant: measure D H D instead of H.
        max_iterations: limit on products with H.
        chunk: examples of each replica in memory at once; it changes the result by rounding only.

    Returns:
        [R] eigenvalues, in the unit of the loss over that of a parameter squared (of the loss alone
        if ``scale_invariant``), with their verified residuals.

    Raises:
        NotImplementedError: a network without parameters to differentiate by.

    Source: K17 (3). Scale invariance: Dinh et al. (2017), Kwon et al. (2021).
    """
    if isinstance(network, ReplicatedMLP):
        network, data = without_idle_weights(network, data)
    parts = [
        _measured(
            loss,
            tolerance=tolerance,
            seed=seed,
            scale_invariant=scale_invariant,
            max_iterations=max_iterations,
        )
        for loss in _parts(pack_loss(network, data, chunk=chunk), min(chunk, data.y.shape[1]))
    ]
    eigenvalue, residual, iterations = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return PackSharpness(eigenvalue, residual, iterations, residual <= tolerance)


def pack_loss(network: PackNetwork, data: PackData, *, chunk: int) -> PackLoss:
    """Return the training losses of a pack, by hand-written passes where it consists of MLPs.

    Args:
        network: the replicas, in eval mode; none of their parameters is written to.
        data: their training examples.
        chunk: examples of each replica in memory at once.

    Raises:
        NotImplementedError: a network without parameters to differentiate by.
    """
    if isinstance(network, ReplicatedMLP):
        return MLPLoss(network, data, chunk=chunk)
    if hasattr(network, "parameters"):
        return AutogradLoss(cast(DifferentiableNetwork, network), data, chunk=chunk)
    raise NotImplementedError(type(network).__name__)


def start_vector(purpose: str, seed: int, like: Tensor) -> Tensor:
    """Return a Gaussian vector [P] that depends on the purpose and the seed alone."""
    generator = torch.Generator().manual_seed(seed_of(purpose, seed) % 2**63)
    return torch.randn(len(like), generator=generator, dtype=torch.float64).to(
        dtype=like.dtype, device=like.device
    )


def _start_vectors(seed: int, gradients: Tensor) -> Tensor:
    """Return where a search for eigenvectors starts, [R, P].

    Formula: r / ||r|| + g / ||g||, with r Gaussian, the same for all. The gradient g lies mostly
    among the eigenvectors of large eigenvalues; r makes sure that none of them is left out.

    Args:
        seed: seed of r.
        gradients: [R, P] g.

    Source: the gradient's place in the spectrum: Gur-Ari, Roberts and Dyer (2018).
    """
    random = start_vector("sharpness", seed, gradients[0])
    size = lengths(gradients)[:, None]
    sound = torch.isfinite(size) & (size > 0)
    share = torch.where(sound, gradients / torch.where(sound, size, 1.0), 0.0)
    return random / lengths(random[None]) + share


class _Scaled:
    """D H D in place of H."""

    def __init__(self, loss: PackLoss, scale: Tensor) -> None:
        self._loss, self._scale = loss, scale

    def product(self, vectors: Tensor) -> Tensor:
        return self._scale * self._loss.product(self._scale * vectors)

    def select(self, replicas: Tensor) -> _Scaled:
        return _Scaled(self._loss.select(replicas), self._scale[replicas])


def _measured(
    loss: PackLoss, *, tolerance: float, seed: int, scale_invariant: bool, max_iterations: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    operators = _Scaled(loss, loss.theta.abs()) if scale_invariant else loss
    gradient = loss.gradient()
    # A little below the tolerance, so that rounding pushes no residual over it.
    rounding = 50 * torch.finfo(loss.theta.dtype).eps
    pairs = dominant_pairs(
        operators,
        _start_vectors(seed, gradient * loss.theta.abs() if scale_invariant else gradient),
        tolerance=max(tolerance / 2, 0.9 * tolerance - rounding),
        max_iterations=max_iterations,
        width=LANCZOS_VECTORS,
    )
    image = operators.product(pairs.vectors)
    eigenvalue = (pairs.vectors * image).sum(1)
    eigenvalue[torch.from_numpy(np.isnan(pairs.values)).to(image.device)] = torch.nan
    error = lengths(image - eigenvalue[:, None] * pairs.vectors).cpu().double().numpy()
    value = eigenvalue.cpu().double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(error == 0, 0.0, error / np.abs(value))
    return value, residual, pairs.iterations


def _parts(loss: PackLoss, examples: int) -> Iterator[PackLoss]:
    """Yield parts of a pack whose vectors fit into memory, and whose chunks into caches."""
    replicas, parameters = loss.theta.shape
    count = MAX_BASIS_BYTES // (LANCZOS_VECTORS * parameters * loss.theta.element_size())
    if isinstance(loss, MLPLoss) and loss.theta.device.type == "cpu":
        count = min(count, TOGETHER // (examples * loss.example_bytes()))
    if count >= replicas or replicas == 1:
        yield loss
        return
    for part in torch.split(torch.arange(replicas), max(1, count)):
        yield loss.select(part)

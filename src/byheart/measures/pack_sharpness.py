"""Sharpness of all replicas of a pack at once: their Hessians' largest eigenvalues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.measures.lanczos import dominant_each, lengths
from byheart.measures.mlp_loss import MLPLoss, without_idle_weights
from byheart.measures.pack_data import PackData
from byheart.measures.pack_loss import PackLoss, pack_loss
from byheart.measures.sharpness import start_vector, start_vectors, within
from byheart.networks.base import PackNetwork
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator

Floats = NDArray[np.float64]

BASIS = 2**28
"""Bytes of Lanczos vectors in memory at once; a pack that needs more is measured in parts."""
TOGETHER = 2**24
"""Bytes of a chunk's activations at once on a CPU: more would leave its caches."""
WIDTH = 32
"""Lanczos vectors kept per replica."""


@dataclass(frozen=True)
class PackSharpness:
    """What :class:`byheart.measures.sharpness.Sharpness` is, for each of R replicas.

    Attributes:
        eigenvalue: [R]; NaN where the Hessian is not finite.
        residual: [R] ||H v - lambda v|| / |lambda|, from one more product at the end.
        iterations: int64 [R], products with H that the search took.
        converged: bool [R], the residual is within the tolerance.
    """

    eigenvalue: Floats
    residual: Floats
    iterations: NDArray[np.int64]
    converged: NDArray[np.bool_]


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
    training examples; lambda_r as in :func:`byheart.measures.sharpness.sharpness`, of D_r H_r D_r
    with D_r = diag(|theta_r|) where ``scale_invariant``. All replicas take each product with their
    Hessian together, and leave when they have converged.

    Args:
        network: R replicas in eval mode; left as they are.
        data: their training examples: inputs [P, D], of which each has rows and labels [R, N].
        tolerance: largest relative residual. In float32, not below about 1e-5.
        seed: of the start vector, the same for all replicas.
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
            pack_loss(one, examples, chunk=chunk),
            tolerance=tolerance,
            seed=seed,
            scale_invariant=scale_invariant,
            max_iterations=max_iterations,
        )
        for one, examples in _parts(network, data, chunk)
    ]
    eigenvalue, residual, iterations = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return PackSharpness(eigenvalue, residual, iterations, residual <= tolerance)


def pack_online_sharpness(
    network: PackNetwork,
    data: PackData,
    *,
    gamma: float = 0.05,
    alpha: float = 1e-3,
    iterations: int = 1000,
    batch_size: int = 32,
    seed: int = 0,
) -> Floats:
    """Return the workshop's on-line estimate for each replica, [R].

    Formula: that of :func:`byheart.measures.online_sharpness.online_sharpness`, whose arguments
    these are. All replicas draw the same positions of their training sets.

    Args:
        network: R replicas in eval mode; left as they are.
        data: their training examples.
        gamma: weight of an iteration, between 0 and 1.
        alpha: length of a step, in the unit of the parameters.
        iterations: two gradients each.
        batch_size: examples per gradient and replica; all of them if there are no more.
        seed: of the first psi and of the batches.

    Returns:
        [R] estimates, in the unit of the loss over that of a parameter squared.

    Raises:
        NotImplementedError: a network without parameters to differentiate by.

    Source: K17 (3); LeCun, Simard and Pearlmutter (1993).
    """
    loss = pack_loss(network, data, chunk=batch_size)
    batches = generator("online-sharpness-batches", seed)
    examples = data.y.shape[1]
    psi = start_vector("online-sharpness", seed, loss.theta[0]).expand_as(loss.theta)
    psi = psi / lengths(psi)[:, None]
    norm = lengths(psi)
    for iteration in range(iterations):
        columns = None
        if batch_size < examples:
            drawn = torch.from_numpy(batches.integers(examples, size=batch_size))
            columns = drawn.to(data.rows.device)
        # Where the gradient does not change with theta, psi is zero and stays there.
        step = alpha / torch.where(norm > 0, norm, 1.0)[:, None] * psi
        change = loss.change(step, columns)
        weight = gamma / (1 + gamma * max(0, iteration - iterations // 2))
        psi = (1 - weight) * psi + weight / alpha * change
        norm = lengths(psi)
    return norm.cpu().double().numpy()


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
    pairs = dominant_each(
        operators,
        start_vectors(seed, gradient * loss.theta.abs() if scale_invariant else gradient),
        tolerance=within(tolerance, loss.theta.dtype),
        max_iterations=max_iterations,
        width=WIDTH,
    )
    image = operators.product(pairs.vectors)
    eigenvalue = (pairs.vectors * image).sum(1)
    eigenvalue[torch.from_numpy(np.isnan(pairs.values)).to(image.device)] = torch.nan
    left = lengths(image - eigenvalue[:, None] * pairs.vectors).cpu().double().numpy()
    value = eigenvalue.cpu().double().numpy()
    size = np.abs(value)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(left == 0, 0.0, left / size)
    return value, residual, pairs.iterations


def _parts(
    network: PackNetwork, data: PackData, chunk: int
) -> Iterator[tuple[PackNetwork, PackData]]:
    """Yield parts of a pack that fit into memory, and their batches into caches."""
    one = torch.zeros(1, dtype=torch.int64)
    loss = pack_loss(network.select(one), data.select(one.to(data.rows.device)), chunk=1)
    count = BASIS // (WIDTH * loss.theta.numel() * loss.theta.element_size())
    if isinstance(loss, MLPLoss) and loss.theta.device.type == "cpu":
        examples = min(chunk, data.y.shape[1])
        count = min(count, TOGETHER // (examples * loss.example_bytes()))
    count = max(1, count)
    if count >= network.replicas:
        yield network, data
        return
    for part in torch.split(torch.arange(network.replicas), count):
        yield network.select(part), data.select(part.to(data.rows.device))

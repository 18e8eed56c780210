"""The workshop paper's estimator of sharpness, from gradients of a few examples at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.lanczos import lengths
from byheart.measures.modules import evaluating, pack_of_one
from byheart.measures.sharpness import pack_loss, start_vector
from byheart.measures.training_loss import PackData
from byheart.networks.base import PackNetwork
from byheart.seeds import generator


@dataclass(frozen=True)
class OnlineSharpness:
    """An estimate without an error bound: read it beside :func:`byheart.sharpness`.

    Attributes:
        eigenvalue: the estimate, ||psi|| after the last iteration.
        history: float64 [iterations], ||psi|| after each.
    """

    eigenvalue: float
    history: Tensor


def online_sharpness(
    model: nn.Module,
    x: Tensor | Mapping[str, Tensor],
    y: Tensor,
    *,
    gamma: float = 0.05,
    alpha: float = 1e-3,
    iterations: int = 1000,
    batch_size: int = 32,
    seed: int = 0,
) -> OnlineSharpness:
    r"""Estimate the largest Hessian eigenvalue of the training loss on line.

    Formula: psi <- (1 - gamma) psi + gamma / alpha * (g(theta + alpha psi / ||psi||) - g(theta)),
    g the gradient of the mean cross-entropy of a batch drawn at each iteration; then
    ||psi|| -> lambda. gamma is constant over the first half of the iterations, while psi settles.
    It falls as gamma / (1 + gamma k) over the k-th of the second half, which averages out the noise
    of the batches.

    For small gamma the limit is the largest *positive* eigenvalue, also where a negative one has a
    larger magnitude, since (1 - gamma) holds psi back along the negative one; without a positive
    eigenvalue it means nothing. Near the end of training the two agree.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs; or a mapping of such tensors, which the model is called
            with.
        y: int64 [N] training labels.
        gamma: weight of an iteration, between 0 and 1.
        alpha: length of the step, in the unit of the parameters, whose change of gradient is
            taken; too long adds higher derivatives, too short adds rounding.
        iterations: two gradients each.
        batch_size: examples per gradient, drawn with replacement; N or more means all of them.
        seed: seed of the first psi and of the batches.

    Returns:
        The estimate and its history, in the unit of the loss over that of a parameter squared.

    Raises:
        InputError: as :func:`byheart.sharpness`, or ``gamma``, ``alpha`` or ``iterations`` out of
            range.

    Source: K17 (3); LeCun, Simard and Pearlmutter (1993). The schedule of gamma is ours.

    Example:
        >>> model = torch.nn.Linear(1, 2, bias=False).double()
        >>> _ = model.weight.data.zero_()
        >>> x = torch.tensor([[2.0], [2.0]], dtype=torch.float64)
        >>> estimate = online_sharpness(model, x, torch.tensor([0, 1]), iterations=500)
        >>> round(estimate.eigenvalue, 3)  # x^2 / 2
        2.0
    """
    if not 0 < gamma < 1:
        raise InputError(f"gamma must lie between 0 and 1, both excluded, got {gamma}")
    if not 0 < alpha < float("inf"):
        raise InputError(f"alpha must be a finite number above 0, got {alpha}")
    if iterations < 1:
        raise InputError(f"iterations must be 1 or more, got {iterations}")
    with evaluating(model), torch.no_grad():
        network, data = pack_of_one(model, x, y, batch_size=batch_size)
        estimates = pack_online_sharpness(
            network,
            data,
            gamma=gamma,
            alpha=alpha,
            iterations=iterations,
            batch_size=batch_size,
            seed=seed,
        )
    history = torch.from_numpy(estimates[:, 0])
    if not bool(torch.isfinite(history).all()):
        raise InputError("the gradient of the loss is not finite: check the model's operations")
    return OnlineSharpness(float(history[-1]), history)


def pack_online_sharpness(
    network: PackNetwork,
    data: PackData,
    *,
    gamma: float = 0.05,
    alpha: float = 1e-3,
    iterations: int = 1000,
    batch_size: int = 32,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the on-line estimates of each replica, [iterations, R].

    Formula: that of :func:`online_sharpness`, which is the case R = 1. All replicas draw the same
    positions of their training sets.

    Args:
        network: R replicas in eval mode; left as they are.
        data: their training examples.
        gamma: weight of an iteration, between 0 and 1.
        alpha: length of a step, in the unit of the parameters.
        iterations: two gradients each.
        batch_size: examples per gradient and replica; all of them if there are no more.
        seed: seed of the first psi and of the batches.

    Returns:
        [iterations, R] ||psi|| after each iteration, in the unit of the loss over that of a
        parameter squared; the last row is the estimate.

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
    history = []
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
        history.append(norm)
    return torch.stack(history).cpu().double().numpy()

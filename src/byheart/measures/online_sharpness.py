"""The workshop paper's estimator of sharpness, from gradients of a few examples at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.hessian import TrainingLoss
from byheart.measures.lanczos import length
from byheart.measures.modes import evaluating
from byheart.measures.sharpness import start_vector
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
    x: Tensor,
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
    ||psi|| -> lambda. gamma is constant over the first half of the iterations, which turns psi into
    place, and falls as gamma / (1 + gamma k) over the k-th of the second, which averages the noise
    of the batches out.

    For small gamma the limit is the largest *positive* eigenvalue, also where a negative one has a
    larger magnitude, since (1 - gamma) holds psi back along the negative one; without a positive
    eigenvalue it means nothing. Near the end of training the two agree.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] training inputs.
        y: int64 [N] training labels.
        gamma: weight of an iteration, between 0 and 1.
        alpha: length of the step, in the unit of the parameters, whose change of gradient is
            taken; too long adds higher derivatives, too short adds rounding.
        iterations: two gradients each.
        batch_size: examples per gradient, drawn with replacement; N or more means all of them.
        seed: of the first psi and of the batches.

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
    _check(gamma, alpha, iterations)
    batches = generator("online-sharpness-batches", seed)
    history = []
    with evaluating(model):
        loss = TrainingLoss(model, x, y, batch_size=batch_size)
        psi = start_vector("online-sharpness", seed, loss.theta)
        psi = psi / length(psi)
        for iteration in range(iterations):
            rows = None
            if batch_size < len(x):
                rows = torch.from_numpy(batches.integers(len(x), size=batch_size))
            norm = length(psi)
            if norm == 0:  # the gradient does not change with theta: nor will psi
                history += [0.0] * (iterations - iteration)
                break
            change = loss.gradient(alpha / norm * psi, rows) - loss.gradient(rows=rows)
            weight = gamma / (1 + gamma * max(0, iteration - iterations // 2))
            psi = (1 - weight) * psi + weight / alpha * change
            history.append(length(psi))
    return OnlineSharpness(history[-1], torch.tensor(history, dtype=torch.float64))


def _check(gamma: float, alpha: float, iterations: int) -> None:
    if not 0 < gamma < 1:
        raise InputError(f"gamma must lie between 0 and 1, both excluded, got {gamma}")
    if not 0 < alpha < float("inf"):
        raise InputError(f"alpha must be a finite number above 0, got {alpha}")
    if iterations < 1:
        raise InputError(f"iterations must be 1 or more, got {iterations}")

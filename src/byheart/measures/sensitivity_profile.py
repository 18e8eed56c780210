"""Everything that one sweep through training tells of loss-sensitivity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from byheart.measures.unrolled import Parameters, UnrolledSgd, input_gradients

NORMS = (1.0, 2.0, math.inf)
"""The norms of a gradient, in the order in which they are returned."""


@dataclass(frozen=True)
class SensitivityProfile:
    """Loss-sensitivity at E times in three norms, and by class at M of them.

    Attributes:
        norms: float64 [3, E, N] g_x^t in the norms of ``NORMS``; not finite where the derivative
            overflowed.
        per_class: float64 [M, classes, classes] g_ij^t: how much the loss of class i hangs on an
            example of class j; NaN for a class without examples.
        loss: [E] mean cross-entropy on the training set.
        accuracy: [E] on the training set.
    """

    norms: Tensor
    per_class: Tensor
    loss: Tensor
    accuracy: Tensor


def sensitivity_profile(
    sgd: UnrolledSgd,
    times: Sequence[int],
    *,
    per_class_at: Sequence[int] = (),
    classes: int = 0,
    on_time: Callable[[int], None] | None = None,
) -> SensitivityProfile:
    r"""Measure loss-sensitivity of every example, and by class, in one sweep.

    Formula: g_ij^t = mean over x of class j of || dL_t(y=i)/dx ||_1, where L_t(y=i) = 1/N times the
    sum of the cross-entropy of the examples of class i after t updates. The sum of the signed
    dL_t(y=i)/dx over i is dL_t/dx, so that a time measured by class needs no adjoint besides.

    Args:
        sgd: the training run.
        times: [E] update counts, ascending.
        per_class_at: [M] of them.
        classes: how many there are; for ``per_class_at``.
        on_time: called with each time as the sweep passes it, the last first.

    Returns:
        The norms and their means by class, in the unit of the loss over that of an input.

    Raises:
        DivergedError: the training does, before the last time.

    Source: A17 section 3.2.
    """
    shares: list[Tensor | None] = []
    repeated: list[int] = []
    members = one_hot(sgd.y, classes).to(sgd.x) if per_class_at else sgd.x.new_zeros(0, 0)
    for t in times:
        own = list(members.T) if t in per_class_at else [None]
        shares += own
        repeated += [t] * len(own)
    fits: list[tuple[float, float]] = []

    def visit(t: int, theta: Parameters) -> None:
        fits.append(_fit(sgd, theta))
        if on_time is not None:
            on_time(t)

    gradients = iter(input_gradients(sgd, repeated, shares, visit).flatten(2))
    norms, per_class = [], []
    for t in times:
        if t in per_class_at:
            of_class = [next(gradients) for _ in range(classes)]
            per_class.append(_class_means(of_class, members))
            gradient = torch.stack(of_class).sum(0)
        else:
            gradient = next(gradients)
        norms.append(_norms(gradient))
    loss, accuracy = torch.tensor(fits[::-1], dtype=torch.float64).T
    return SensitivityProfile(
        norms=torch.stack(norms, 1),
        per_class=torch.stack(per_class) if per_class else torch.zeros(0, classes, classes),
        loss=loss,
        accuracy=accuracy,
    )


def _fit(sgd: UnrolledSgd, theta: Parameters) -> tuple[float, float]:
    with torch.no_grad():
        logits = sgd.logits(theta, sgd.x)
        right = (logits.argmax(1) == sgd.y).float().mean()
        return float(cross_entropy(logits, sgd.y)), float(right)


def _norms(gradient: Tensor) -> Tensor:
    """Return the norms of each example's gradient [N, D], [3, N]."""
    wide = gradient.cpu().double()  # squares of large float32 numbers overflow before they do
    return torch.stack([torch.linalg.vector_norm(wide, ord=norm, dim=1) for norm in NORMS])


def _class_means(of_class: Sequence[Tensor], members: Tensor) -> Tensor:
    """Return the mean 1-norm by class of loss (rows) and of example (columns)."""
    sizes = torch.stack([gradient.cpu().double().abs().sum(1) for gradient in of_class])
    belongs = members.cpu().double()
    return sizes @ belongs / belongs.sum(0)

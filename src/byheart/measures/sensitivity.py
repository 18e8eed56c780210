"""Loss-sensitivity: how much the training loss depends on each training example."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from byheart.errors import InputError
from byheart.measures.mlp_sgd import mlp_sgd
from byheart.measures.modules import (
    SingleNetwork,
    as_inputs,
    evaluating,
    require_gradients_by_inputs,
    require_logits,
    require_symmetry,
)
from byheart.measures.training_loss import PackData
from byheart.measures.unrolled import Parameters, PlainSgd, UnrolledSgd, input_gradients
from byheart.seeds import generator

INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
NORMS = (1.0, 2.0, math.inf)
"""The norms of a gradient, in the order in which they are returned."""
PROBED = 64
"""Examples on which derivatives are tried before the training."""


def loss_sensitivity(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    batches: Iterable[Tensor],
    learning_rate: float,
    evaluate_at: Iterable[int],
    norm: float = 1,
) -> Tensor:
    r"""Loss-sensitivity of every training example, exact, through the whole unrolled training.

    Formula: g_x^t = || dL_t/dx ||, with L_t = 1/N sum_n CE(f(x_n; theta_t), y_n) and theta_t the
    parameters after t steps theta_{s+1} = theta_s - learning_rate * grad l_s(theta_s), where l_s is
    the mean cross-entropy of batch s. The derivative is total: x acts on L_t directly, and through
    every step up to t that used x. One backward sweep serves all evaluation times; parameters are
    kept, or computed again from sqrt(T) checkpoints of them where there are too many. A
    ``nn.Sequential`` of linear layers with ReLUs between them is differentiated by formulas, any
    other network by autograd: the same numbers to rounding, several times faster.

    Training happens on a copy of the parameters; the model is left as it was. It runs in eval mode
    throughout, each submodule put back afterwards: dropout does nothing, and batch norm uses its
    running statistics, which stay fixed. Parameters without ``requires_grad`` stay fixed too.

    Args:
        model: maps [N, *shape] to logits [N, classes], at its initialisation theta_0.
        x: [N, *shape] training inputs, of the model's dtype and on its device.
        y: int64 [N] labels, from 0 to classes - 1.
        batches: T index tensors [B_s] into the examples, one for each step, in order; an index may
            occur more than once.
        learning_rate: learning rate of plain SGD: no momentum, no weight decay.
        evaluate_at: E update counts, ascending, from 0 (before training) to T.
        norm: 1, 2 or ``math.inf``, over the coordinates of an input.

    Returns:
        [E, N] g_x^t for each evaluation time t and example x, in loss per unit of input (for norm
        1, summed over coordinates). Average over time with ``.mean(0)`` for g_bar_x, and
        see :func:`byheart.gini` for how unevenly it is spread.

    Raises:
        InputError: a setting, index or label out of range; inputs that are not finite; a model
            whose output is not finite logits [N, classes], not differentiable or not the same
            twice; a training that diverges (the update is named) or whose derivative overflows.

    Source: A17 section 3.2.

    Example:
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> batches = [torch.tensor([0])]
        >>> loss_sensitivity(model, x, y, batches=batches, learning_rate=1.0, evaluate_at=[0, 1])
        tensor([[0.0000, 0.0000],
                [0.5189, 0.2500]])
    """
    x, y = as_inputs(x).detach(), torch.as_tensor(y)
    _check_examples(model, x, y)
    steps = _checked_batches(batches, len(x), x.device)
    times = _checked_times(evaluate_at, len(steps))
    if not 0 < learning_rate < math.inf:
        raise InputError(f"learning_rate must be a number above 0, got {learning_rate}")
    if norm not in (1, 2, math.inf):
        raise InputError(f"norm must be 1, 2 or math.inf, got {norm}")
    with evaluating(model), torch.enable_grad():
        sgd = PlainSgd(model, x, y.long(), steps, learning_rate)
        _check_model(sgd)
        by_formulas = mlp_sgd(model, sgd)
        if by_formulas is None:
            rows = torch.arange(len(x), device=x.device)[None]
            require_symmetry(SingleNetwork(model), PackData(x, rows, y.long()[None]))
        gradients = input_gradients(by_formulas or sgd, times)
    for t, gradient in zip(times, gradients, strict=True):
        if not bool(torch.isfinite(gradient).all()):
            raise InputError(
                f"the derivative through {t} updates is too large for {gradient.dtype}: choose a "
                f"learning_rate below {learning_rate:g}, fewer updates or a wider dtype"
            )
    sensitivity: Tensor = torch.linalg.vector_norm(gradients.flatten(2), ord=norm, dim=2)
    return sensitivity


@dataclass(frozen=True)
class SensitivityProfile:
    """Loss-sensitivity at E times in three norms, and by class at M of them.

    Attributes:
        norms: float64 [3, E, N] g_x^t in the norms of ``NORMS``; not finite where the derivative
            overflowed.
        per_class: float64 [M, classes, classes] g_ij^t: how much the loss of class i depends on
            an example of class j; NaN for a class without examples.
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
        classes: number of classes, for ``per_class_at``.
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
        shares_now = list(members.T) if t in per_class_at else [None]
        shares += shares_now
        repeated += [t] * len(shares_now)
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


def shuffled_batches(examples: int, size: int, updates: int, *, seed: int = 0) -> list[Tensor]:
    """Return the batches of a number of updates; every epoch has a new order.

    Args:
        examples: N, in the training set.
        size: examples per batch; the last of an epoch may be smaller.
        updates: T, batches to return.
        seed: seed of the orders.

    Returns:
        T index tensors.

    Raises:
        InputError: a count below 1.
    """
    for name, count in (("examples", examples), ("size", size), ("updates", updates)):
        if count < 1:
            raise InputError(f"{name} must be 1 or more, got {count}")
    rng = generator("batches", seed, examples)
    batches: list[Tensor] = []
    while len(batches) < updates:
        batches += torch.split(torch.from_numpy(rng.permutation(examples)), size)
    return batches[:updates]


def _check_examples(model: nn.Module, x: Tensor, y: Tensor) -> None:
    if x.dim() < 2 or not x.numel() or not x.is_floating_point():
        raise InputError(
            f"x must be floating-point inputs [N, *shape] with N >= 1, got {x.dtype} "
            f"{tuple(x.shape)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    if y.shape != x.shape[:1] or y.dtype not in INTEGERS:
        raise InputError(
            f"y must be one integer label for each of the {len(x)} inputs, got {y.dtype} "
            f"{tuple(y.shape)}"
        )
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise InputError("the model has no parameter that requires gradients: nothing to train")
    for name, tensor in (("the model", trained[0]), ("y", y)):
        if tensor.device != x.device or (tensor.is_floating_point() and tensor.dtype != x.dtype):
            raise InputError(
                f"x is {x.dtype} on {x.device}, {name} {tensor.dtype} on {tensor.device}: "
                f"move x with x.to(...)"
            )


def _checked_batches(
    batches: Iterable[Tensor], examples: int, device: torch.device
) -> list[Tensor]:
    steps = []
    for s, batch in enumerate(batches):
        indices = torch.as_tensor(batch, device=device)
        if indices.dim() != 1 or not len(indices) or indices.dtype not in INTEGERS:
            raise InputError(
                f"batches[{s}] must be integer indices [B] with B >= 1, got {indices.dtype} "
                f"{tuple(indices.shape)}"
            )
        steps.append(indices.long())
    whole = torch.cat(steps) if steps else torch.zeros(1)
    if int(whole.min()) < 0 or int(whole.max()) >= examples:
        _refuse_index(steps, examples)
    return steps


def _refuse_index(steps: Sequence[Tensor], examples: int) -> NoReturn:
    s, wrong = next(
        (s, int(index))
        for s, batch in enumerate(steps)
        for index in (batch.min(), batch.max())
        if not 0 <= index < examples
    )
    raise InputError(
        f"batches[{s}] holds index {wrong}: with {examples} examples, indices go from 0 to "
        f"{examples - 1}"
    )


def _checked_times(evaluate_at: Iterable[int], steps: int) -> Sequence[int]:
    try:
        times = [operator.index(t) for t in evaluate_at]
    except TypeError as error:
        raise InputError(f"evaluate_at must be a list of whole update counts: {error}") from error
    ascending = all(a < b for a, b in itertools.pairwise(times))
    if not times or not ascending or times[0] < 0 or times[-1] > steps:
        raise InputError(
            f"evaluate_at must be ascending update counts from 0 to the number of batches, "
            f"{steps}, got {times if len(times) < 10 else f'{times[:9]} and more'}"
        )
    return times


def _check_model(sgd: PlainSgd) -> None:
    """Look at the model before T steps are spent on it."""
    logits, again = sgd.logits(sgd.start, sgd.x), sgd.logits(sgd.start, sgd.x)
    require_logits(logits, len(sgd.x))
    if not bool(torch.isfinite(logits).all()):
        raise InputError("the model returns logits that are not finite: check its weights")
    if not torch.allclose(logits, again, rtol=1e-4, atol=1e-6):
        raise InputError(
            "the model returns different logits for the same inputs in eval mode: remove what is "
            "random in its forward"
        )
    low, high, classes = int(sgd.y.min()), int(sgd.y.max()), logits.shape[1]
    if low < 0 or high >= classes:
        raise InputError(
            f"y holds label {low if low < 0 else high}: for {classes} outputs, labels go from 0 to "
            f"{classes - 1}"
        )
    _check_derivatives(sgd)


def _check_derivatives(sgd: PlainSgd) -> None:
    """Try the first update backwards: not every operation can be differentiated twice."""
    theta = tuple(p.clone().requires_grad_() for p in sgd.start)
    try:
        slopes = torch.autograd.grad(
            sgd.loss(theta, sgd.x, sgd.y), theta, create_graph=True, materialize_grads=True
        )
        if sgd.batches:
            # Where an operation refuses a second derivative, backward() raises; grad() with named
            # inputs can pass the refusal by and leave a term out.
            torch.autograd.backward([slope.sum() for slope in slopes])
            sgd.pull_back(0, sgd.start, tuple(torch.zeros_like(p)[None] for p in sgd.start))
    except RuntimeError as error:  # what autograd raises, NotImplementedError included
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"the model cannot be differentiated twice, as loss-sensitivity needs: {reason}"
        ) from error
    some = sgd.x[:PROBED].clone().requires_grad_()
    require_gradients_by_inputs(sgd.logits(theta, some), some)


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

"""The mean cross-entropy of a module as a function of its parameters: gradient and Hessian."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from byheart.errors import InputError

SAME = 100
"""Two passes over the same inputs may differ by this many roundings of the largest logit."""


class TrainingLoss:
    r"""The loss of a classifier on a training set, around the parameters it has now.

    Formula: L(theta) = -1/N sum_n log softmax(f_theta(x_n))[y_n], with theta the trainable
    parameters, concatenated. Frozen parameters and buffers are constants. Sums run over chunks of
    examples, so that memory does not grow with N; no parameter, gradient or buffer of the module
    is written to.

    Use it within :func:`byheart.measures.modes.evaluating`.

    Args:
        model: maps [N, *shape] to logits [N, classes]. The logits of an example must not depend on
            the others in its batch (in eval mode, those of batch norm without running statistics
            do: the loss then belongs to the batch size).
        x: [N, *shape] inputs.
        y: int64 [N] labels in 0..classes - 1.
        batch_size: examples per chunk.

    Attributes:
        size: P, number of trainable parameters.
        theta: [P] their values.

    Raises:
        InputError: no trainable parameter, inputs and labels that do not fit together or hold
            values out of range, or a model whose output is not finite logits [N, classes], differs
            from pass to pass or does not depend on the parameters.
    """

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int) -> None:
        self._model = model
        trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not any(p.numel() for p in trainable.values()):
            raise InputError(
                "the model has no trainable parameter: set requires_grad on those to be measured"
            )
        self._names = list(trainable)
        self._values = [p.detach() for p in trainable.values()]
        self._x, self._y, self._batch_size = checked(x, y, batch_size)
        self.theta = _flat(self._values)
        self.size = len(self.theta)
        self._kept: tuple[Sequence[Tensor], list[Tensor]] | None = None
        self._check_model()

    def gradient(self, shift: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Return the gradient of the loss, [P].

        Args:
            shift: [P] added to the parameters first.
            rows: int64, the examples to average over, instead of all.

        Returns:
            dL/dtheta at theta + shift.

        Raises:
            InputError: the gradient is not finite.
        """
        at = self._values
        if shift is not None:
            at = [a + s for a, s in zip(at, self._split(shift), strict=True)]
        total = torch.zeros_like(self.theta)
        for loss, parameters in self._losses(at, rows):
            total += _flat(torch.autograd.grad(loss, parameters, materialize_grads=True))
        return finite(total, "gradient")

    def product(self, vector: Tensor) -> Tensor:
        """Return H v, the Hessian of the loss at theta times a vector, by a second backward pass.

        Args:
            vector: [P] v.

        Returns:
            [P], exact up to rounding. Where the loss has a kink (a ReLU at 0) its Hessian is that
            of the piece which the backward pass takes.

        Raises:
            InputError: the second derivatives are not finite, or an operation has none.
        """
        parts = self._split(vector)
        total = torch.zeros_like(self.theta)
        with _twice_differentiable():
            for slopes, parameters in self._slopes():
                along = sum((g * v).sum() for g, v in zip(slopes, parts, strict=True))
                if isinstance(along, Tensor) and along.requires_grad:
                    _check_path(along)
                    again = torch.autograd.grad(
                        along,
                        parameters,
                        retain_graph=self._kept is not None,
                        materialize_grads=True,
                    )
                    total += _flat(again)
        return finite(total, "Hessian")

    def _slopes(self) -> Iterator[tuple[Sequence[Tensor], list[Tensor]]]:
        """Yield each chunk's gradient with its graph, which is kept where there is only one."""
        if self._kept is not None:
            yield self._kept
            return
        for loss, parameters in self._losses(self._values):
            slopes = torch.autograd.grad(
                loss, parameters, create_graph=True, materialize_grads=True
            )
            if len(self._y) <= self._batch_size:
                self._kept = slopes, parameters
            yield slopes, parameters

    def _losses(
        self, values: Sequence[Tensor], rows: Tensor | None = None
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield each chunk's share of the mean loss, and the parameters it depends on."""
        count = len(self._y) if rows is None else len(rows)
        for start in range(0, count, self._batch_size):
            chunk: slice | Tensor = slice(start, start + self._batch_size)
            if rows is not None:
                chunk = rows[chunk]
            with torch.enable_grad():
                parameters = [value.detach().requires_grad_() for value in values]
                logits = self._logits(self._x[chunk], parameters)
                labels = self._y[chunk].to(logits.device)
                yield functional.cross_entropy(logits, labels, reduction="sum") / count, parameters

    def _logits(self, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        # Buffers go in as copies: a module that counts its calls must not count ours.
        state = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        state.update(zip(self._names, parameters, strict=True))
        # Fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH):
            logits = functional_call(self._model, state, (x.to(self.theta.device),))
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"the model must map [N, ...] to logits [N, classes]: for N = {len(x)} it "
                f"returned {got}"
            )
        return logits

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = torch.split(vector, [value.numel() for value in self._values])
        return [p.view_as(v).to(v) for p, v in zip(parts, self._values, strict=True)]

    def _check_model(self) -> None:
        total = 0.0
        for start in range(0, len(self._y), self._batch_size):
            x = self._x[start : start + self._batch_size]
            with torch.enable_grad():
                parameters = [value.detach().requires_grad_() for value in self._values]
                logits = self._logits(x, parameters)
                again = self._logits(x, parameters).detach()
            if not logits.requires_grad:
                raise InputError(
                    "the model's output does not depend on its trainable parameters: does its "
                    "forward detach them or run under no_grad?"
                )
            labels = self._y[start : start + self._batch_size].to(logits.device)
            _check_repeats(logits.detach(), again)
            total += checked_loss(logits.detach(), labels)
        if not math.isfinite(total):
            raise InputError("the loss is not finite: check the model's weights and the inputs")


def _check_repeats(logits: Tensor, again: Tensor) -> None:
    allowed = SAME * torch.finfo(logits.dtype).eps * logits.abs().max()
    if bool(((logits - again).abs() > allowed).any()):
        raise InputError(
            "the model is not deterministic in eval mode (two passes over the same inputs differ): "
            "take the randomness out of its forward"
        )


def checked_loss(logits: Tensor, labels: Tensor) -> float:
    """Return the summed loss of a chunk whose logits are sound, and refuse others."""
    if not bool(torch.isfinite(logits).all()):
        raise InputError("the model returns logits that are not finite: check its weights")
    if not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
        raise InputError(
            f"labels must lie in 0..{logits.shape[1] - 1} for a model with {logits.shape[1]} "
            f"outputs, got {int(labels.min())}..{int(labels.max())}"
        )
    return float(functional.cross_entropy(logits, labels, reduction="sum"))


def checked(x: Tensor, y: Tensor, batch_size: int) -> tuple[Tensor, Tensor, int]:
    """Return inputs and labels that fit together, and refuse others."""
    x, y = torch.as_tensor(x).detach(), torch.as_tensor(y).detach()
    if x.dim() < 1 or not len(x):
        raise InputError(f"x must hold inputs [N, *shape] with N >= 1, got {tuple(x.shape)}")
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"y must be integer labels [N], got {y.dtype} {tuple(y.shape)}")
    if len(y) != len(x):
        raise InputError(f"x and y must be of one length, got {len(x)} inputs and {len(y)} labels")
    if batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {batch_size}")
    return x, y.long(), batch_size


@contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Name the operation that has no second derivative, in one line."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        if "is not implemented" in text:
            raise InputError(
                f"the model has an operation without a second derivative: {text}"
            ) from error
        raise


def _check_path(value: Tensor) -> None:
    """Refuse a graph with a dead end: autograd would skip it, and what lies behind, in silence."""
    todo, seen = [value.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            raise InputError(
                "the model has an operation without a second derivative: a custom backward marked "
                "once_differentiable"
            )
        seen.add(node)
        todo += [after for after, _ in node.next_functions]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def finite(values: Tensor, what: str) -> Tensor:
    """Return derivatives that are finite, and refuse others."""
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"the {what} of the loss is not finite: check the model's operations")
    return values

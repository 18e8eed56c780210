"""Differentiate through a training run, for all evaluation times in one backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byheart.errors import InputError
from byheart.measures.modules import twice_differentiable

Parameters = tuple[Tensor, ...]
State = TypeVar("State")

MAX_STORED_BYTES = 2**27
"""Largest memory for the stored parameters and activations of all updates, in bytes."""
ADJOINTS_PER_BATCH = 64
"""Adjoints propagated in one batched call: bounds memory, costs nothing in speed."""


class DivergedError(InputError):
    """The parameters or the loss of a training run are no longer finite.

    Attributes:
        update: number of the first update after which they are not finite.
    """

    def __init__(self, update: int, updates: int, learning_rate: float) -> None:
        super().__init__(
            f"training diverged at update {update} of {updates}: choose a learning_rate below "
            f"{learning_rate:g}"
        )
        self.update = update


class Adjoints(Protocol):
    """Adjoints dL_e/dtheta_s during the backward pass; e counts the active evaluation times."""

    def add(self, gradient: Parameters) -> None:
        """Add the adjoint of the next earlier evaluation time."""
        ...

    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Propagate all adjoints through update s; return its inputs' gradients, [e, B, ...]."""
        ...


class UnrolledSgd(Protocol):
    """A training run that can be differentiated; see :class:`PlainSgd`.

    Attributes:
        x: [N, *shape] training inputs.
        y: [N] labels.
        batches: indices of the examples of each update.
        start: theta_0.
        update_bytes: memory of one stored update.
    """

    x: Tensor
    y: Tensor
    batches: Sequence[Tensor]
    start: Parameters
    update_bytes: int

    def store_activations(self, updates: int) -> None:
        """Store the activations of the last ``updates`` updates for the backward pass."""
        ...

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits of inputs x under parameters theta."""
        ...

    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}."""
        ...

    def loss_gradients(
        self, t: int, theta: Parameters, weights: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta, and dL/dx at fixed theta."""
        ...

    def adjoints(self, count: int) -> Adjoints:
        """Allocate buffers for ``count`` adjoints; none is active yet."""
        ...


class PlainSgd:
    """Plain SGD on a copy of a model's parameters: one step a batch, mean cross-entropy.

    Formula: theta_{s+1} = theta_s - lr grad_theta l_s(theta_s), with l_s the mean cross-entropy of
    batch s. Parameters that do not require gradients stay as they are, as do all buffers.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        batches: Sequence[Tensor],
        learning_rate: float,
    ) -> None:
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._model = model
        self._names = tuple(named)
        self._buffers = {name: b.detach().clone() for name, b in model.named_buffers()}
        self.x = x
        self.y = y
        self.batches = batches
        self.learning_rate = learning_rate
        self._in_batches = True
        self.start: Parameters = tuple(p.detach().clone() for p in named.values())
        self.update_bytes = sum(p.numel() * p.element_size() for p in self.start)

    def store_activations(self, updates: int) -> None:
        """Store nothing: autograd frees a graph once it is used, so updates are computed again."""

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits of inputs x under parameters theta."""
        state = {**self._buffers, **dict(zip(self._names, theta, strict=True))}
        with twice_differentiable(self._model):
            logits: Tensor = torch.func.functional_call(self._model, state, (x,))
        return logits

    def loss(self, theta: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy of examples (x, y) under parameters theta."""
        return cross_entropy(self.logits(theta, x), y)

    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}; :class:`DivergedError` names the update where it is not finite."""
        theta = _leaves(theta)
        batch = self.batches[s]
        loss = self.loss(theta, self.x[batch], self.y[batch])
        gradients = torch.autograd.grad(loss, theta, materialize_grads=True)
        after = tuple(
            p.detach() - self.learning_rate * g for p, g in zip(theta, gradients, strict=True)
        )
        if not finite((loss, *after)):
            raise DivergedError(s + 1, len(self.batches), self.learning_rate)
        return after

    def loss_gradients(
        self, t: int, theta: Parameters, weights: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta, and dL/dx [N, *shape] at fixed theta.

        Formula: L = 1/N sum_n w_n CE(f(x_n; theta), y_n).

        Args:
            t: number of updates before theta, for the error message.
            theta: theta_t.
            weights: w, [N]; None means 1.
        """
        theta, x = _leaves(theta), self.x.clone().requires_grad_()
        losses = cross_entropy(self.logits(theta, x), self.y, reduction="none")
        loss = (losses if weights is None else losses * weights).mean()
        if not finite((losses,)):
            raise DivergedError(t, len(self.batches), self.learning_rate)
        *gradient, direct = torch.autograd.grad(loss, (*theta, x), materialize_grads=True)
        return tuple(gradient), direct

    def adjoints(self, count: int) -> PlainAdjoints:
        """Allocate buffers for ``count`` adjoints; none is active yet."""
        return PlainAdjoints(self, count)

    def pull_back(self, s: int, theta: Parameters, adjoints: Parameters) -> Tensor:
        """Propagate adjoints from theta_{s+1} to theta_s, in place; return the inputs' gradients.

        Formula: a_e <- a_e - lr H_s a_e, and -lr d/dx_batch [grad_theta l_s(theta_s) . a_e].

        Args:
            s: update, 0-based.
            theta: theta_s.
            adjoints: [e, *parameter] for each parameter, dL_e/dtheta_{s+1}; overwritten.

        Returns:
            [e, B, *shape] contribution of this update to dL_e/dx of its batch.
        """
        theta = _leaves(theta)
        batch = self.batches[s]
        x = self.x[batch].requires_grad_()
        gradients = torch.autograd.grad(
            self.loss(theta, x, self.y[batch]), theta, create_graph=True, materialize_grads=True
        )
        contributions = []
        for together in zip(*(torch.split(a, ADJOINTS_PER_BATCH) for a in adjoints), strict=True):
            *hessian_products, mixed = self._products(gradients, (*theta, x), together)
            contributions.append(-self.learning_rate * mixed.expand(len(together[0]), *x.shape))
            for a, product in zip(together, hessian_products, strict=True):
                a.sub_(product, alpha=self.learning_rate)
        return torch.cat(contributions)

    def _products(
        self, gradients: Sequence[Tensor], inputs: Sequence[Tensor], adjoints: Parameters
    ) -> Sequence[Tensor]:
        """Return the derivatives of gradients . a_e by each input, [e, *input]."""

        def products(vectors: Parameters, *, batched: bool) -> Sequence[Tensor]:
            return torch.autograd.grad(
                gradients,
                inputs,
                vectors,
                retain_graph=True,
                is_grads_batched=batched,
                materialize_grads=True,
            )

        if self._in_batches:
            try:
                return products(adjoints, batched=True)
            except RuntimeError:
                # Some operations (group norm) have a second derivative, but not for a batch.
                self._in_batches = False
        each = [products(vectors, batched=False) for vectors in zip(*adjoints, strict=True)]
        return [torch.stack(columns) for columns in zip(*each, strict=True)]


class PlainAdjoints:
    """Adjoints of a run, propagated by :meth:`PlainSgd.pull_back`."""

    def __init__(self, run: PlainSgd, count: int) -> None:
        self._run = run
        self._buffers = tuple(p.new_empty((count, *p.shape)) for p in run.start)
        self._first_active = count  # adjoints from this index on are active

    def add(self, gradient: Parameters) -> None:
        """Add the adjoint of the next earlier evaluation time."""
        self._first_active -= 1
        for a, values in zip(self._buffers, gradient, strict=True):
            a[self._first_active] = values

    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Propagate all adjoints through update s; return its inputs' gradients, [e, B, *shape]."""
        return self._run.pull_back(s, theta, tuple(a[self._first_active :] for a in self._buffers))


def input_gradients(
    sgd: UnrolledSgd,
    times: Sequence[int],
    weights: Sequence[Tensor | None] | None = None,
    visit: Callable[[int, Parameters], None] | None = None,
) -> Tensor:
    r"""Total derivatives dL_t/dx of every training example, for all evaluation times at once.

    Formula: with a_e = dL_{t_e}/dtheta_{t_e} at time t_e and g_e = dL_{t_e}/dx at fixed theta, for
    s = t_e - 1..0: g_e += -lr d/dx [grad_theta l_s(theta_s) . a_e]; a_e <- (I - lr H_s) a_e. Every
    update is linear in a_e, hence one backward pass over the updates serves all e.

    Args:
        sgd: the training run.
        times: E update counts, ascending, from 0 to the number of batches; a time may occur more
            than once.
        weights: [N] per-example weights of the loss at each time; None means 1.
        visit: called with (t, theta_t) at each distinct time, latest first.

    Returns:
        [E, N, *shape].

    Raises:
        DivergedError: training diverges before the last evaluation time.
    """
    examples, *shape = sgd.x.shape
    # A row for each example and time: index_add_ is fastest on the rows of one matrix.
    total = sgd.x.new_zeros((examples * len(times), math.prod(shape)))
    slots = torch.arange(len(times), device=sgd.x.device)[:, None]
    active_slots = slots[:0]
    first_active = len(times)
    stride = kept_stride(times[-1], sgd.update_bytes)
    sgd.store_activations(times[-1] if stride == 1 else stride)
    adjoints = sgd.adjoints(len(times))
    for t, theta in Trajectory(sgd.start, sgd.step, times[-1], stride=stride).backwards():
        if first_active < len(times):
            # Active adjoints are derivatives at theta_{t+1}; update t leads there from theta_t.
            contribution = adjoints.pull_back(t, theta)
            rows = torch.add(active_slots, sgd.batches[t], alpha=len(times)).view(-1)
            total.index_add_(0, rows, contribution.reshape(len(rows), -1))
        if visit is not None and first_active and times[first_active - 1] == t:
            visit(t, theta)
        while first_active and times[first_active - 1] == t:
            first_active -= 1
            of_examples = None if weights is None else weights[first_active]
            gradient, direct = sgd.loss_gradients(t, theta, of_examples)
            total[first_active :: len(times)] += direct.flatten(1)
            adjoints.add(gradient)
            active_slots = slots[first_active:]
    return total.view(examples, len(times), *shape).transpose(0, 1)


class Trajectory(Generic[State]):
    """States 0..length of a deterministic process, stored in O(sqrt(length)) memory.

    Every ceil(sqrt(length))-th state is stored. The states in between are computed again in the
    backward pass, so that each step is taken at most twice.
    """

    def __init__(
        self,
        start: State,
        step: Callable[[int, State], State],
        length: int,
        *,
        stride: int | None = None,
    ) -> None:
        """Run the process once.

        Args:
            start: state 0.
            step: ``step(t, state)`` returns state t + 1 from state t, a new object.
            length: number of steps.
            stride: store every stride-th state; 1 stores all, and takes each step once.
        """
        self._step = step
        self._length = length
        self._stride = stride or max(1, math.ceil(math.sqrt(length)))
        self._stored = [start]
        state = start
        last = length - length % self._stride  # states after the last stored one are not needed yet
        for t in range(last):
            state = step(t, state)
            if (t + 1) % self._stride == 0:
                self._stored.append(state)

    def backwards(self) -> Iterator[tuple[int, State]]:
        """Yield (t, state t) for t = length..0. Call it once: it frees the states."""
        end = self._length
        while self._stored:
            segment = [self._stored.pop()]
            first = len(self._stored) * self._stride
            for t in range(first, end):
                segment.append(self._step(t, segment[-1]))
            while segment:
                yield first + len(segment) - 1, segment.pop()
            end = first - 1


def kept_stride(updates: int, update_bytes: int) -> int:
    """Return the interval of stored states in updates: 1 if all parameters fit in memory."""
    return 1 if updates * update_bytes <= MAX_STORED_BYTES else math.ceil(math.sqrt(updates))


def _leaves(theta: Parameters) -> Parameters:
    return tuple(p.detach().requires_grad_() for p in theta)


def finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all numbers are finite; numbers whose sum overflows count as infinite."""
    return all(math.isfinite(float(tensor.detach().sum())) for tensor in tensors)

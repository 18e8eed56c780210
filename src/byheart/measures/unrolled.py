"""Differentiating through a whole training run, for all evaluation times in one sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byheart.errors import InputError

Parameters = tuple[Tensor, ...]
State = TypeVar("State")

KEPT = 2**27
"""Bytes of parameters and passes that are kept in memory for the way back."""
ADJOINTS_TOGETHER = 64
"""Adjoints pulled back in one batched program: bounds memory, costs nothing in speed."""


class DivergedError(InputError):
    """A training run whose parameters or loss are no longer finite.

    Attributes:
        update: the first update after which they are not.
    """

    def __init__(self, update: int, updates: int, learning_rate: float) -> None:
        super().__init__(
            f"training diverged at update {update} of {updates}: choose a learning_rate below "
            f"{learning_rate:g}"
        )
        self.update = update


class Adjoints(Protocol):
    """Adjoints dL_e/dtheta_s on their way back through the updates of a run."""

    def add(self, slopes: Parameters) -> None:
        """Put the adjoint of an earlier time before those that are on their way."""
        ...

    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Carry all back through update s, and return what its batch receives, [e, B, ...]."""
        ...


class UnrolledSgd(Protocol):
    """A training run that can be walked backwards; see :class:`PlainSgd`."""

    x: Tensor
    y: Tensor
    batches: Sequence[Tensor]
    start: Parameters
    update_bytes: int

    def remember(self, updates: int) -> None:
        """Keep the passes of the last so many updates for the way back."""
        ...

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits of inputs x under parameters theta."""
        ...

    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}."""
        ...

    def slope(
        self, t: int, theta: Parameters, share: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta and the direct dL/dx."""
        ...

    def adjoints(self, count: int) -> Adjoints:
        """Return room for so many adjoints, none of them on its way yet."""
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
        self.start: Parameters = tuple(p.detach().clone() for p in named.values())
        self.update_bytes = sum(p.numel() * p.element_size() for p in self.start)

    def remember(self, updates: int) -> None:
        """Keep nothing: walking back consumes a graph."""

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits of inputs x under parameters theta."""
        state = {**self._buffers, **dict(zip(self._names, theta, strict=True))}
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
        slopes = torch.autograd.grad(loss, theta, materialize_grads=True)
        after = tuple(
            p.detach() - self.learning_rate * g for p, g in zip(theta, slopes, strict=True)
        )
        if not finite((loss, *after)):
            raise DivergedError(s + 1, len(self.batches), self.learning_rate)
        return after

    def slope(
        self, t: int, theta: Parameters, share: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta and the direct dL/dx [N, *shape].

        Formula: L = 1/N sum_n share_n CE(f(x_n; theta), y_n).

        Args:
            t: updates behind theta.
            theta: theta_t.
            share: [N] how much each example counts; all of it if None.
        """
        theta, x = _leaves(theta), self.x.clone().requires_grad_()
        losses = cross_entropy(self.logits(theta, x), self.y, reduction="none")
        loss = (losses if share is None else losses * share).mean()
        if not finite((losses,)):
            raise DivergedError(t, len(self.batches), self.learning_rate)
        *slopes, direct = torch.autograd.grad(loss, (*theta, x), materialize_grads=True)
        return tuple(slopes), direct

    def adjoints(self, count: int) -> PlainAdjoints:
        """Return room for so many adjoints, none of them on its way yet."""
        return PlainAdjoints(self, count)

    def pull_back(self, s: int, theta: Parameters, adjoints: Parameters) -> Tensor:
        """Carry adjoints from theta_{s+1} to theta_s, in place, and return what batch s receives.

        Formula: a_e <- a_e - lr H_s a_e, and -lr d/dx_batch [grad_theta l_s(theta_s) . a_e].

        Args:
            s: update, 0-based.
            theta: theta_s.
            adjoints: [e, *parameter] for each parameter, dL_e/dtheta_{s+1}; overwritten.

        Returns:
            [e, B, *shape] share of dL_e/dx of the examples in the batch, through this update.
        """
        theta = _leaves(theta)
        batch = self.batches[s]
        x = self.x[batch].requires_grad_()
        slopes = torch.autograd.grad(
            self.loss(theta, x, self.y[batch]), theta, create_graph=True, materialize_grads=True
        )
        received = []
        for together in zip(*(torch.split(a, ADJOINTS_TOGETHER) for a in adjoints), strict=True):
            *curved, share = torch.autograd.grad(
                slopes,
                (*theta, x),
                together,
                retain_graph=True,
                is_grads_batched=True,
                materialize_grads=True,
            )
            received.append(-self.learning_rate * share.expand(len(together[0]), *x.shape))
            for a, c in zip(together, curved, strict=True):
                a.sub_(c, alpha=self.learning_rate)
        return torch.cat(received)


class PlainAdjoints:
    """Adjoints on their way back through a run, by :meth:`PlainSgd.pull_back`."""

    def __init__(self, run: PlainSgd, count: int) -> None:
        self._run = run
        self._room = tuple(p.new_empty((count, *p.shape)) for p in run.start)
        self._live = count  # adjoints from here on are on their way

    def add(self, slopes: Parameters) -> None:
        """Put the adjoint of an earlier time before those that are on their way."""
        self._live -= 1
        for a, slope in zip(self._room, slopes, strict=True):
            a[self._live] = slope

    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Carry all back through update s, and return what its batch receives, [e, B, *shape]."""
        return self._run.pull_back(s, theta, tuple(a[self._live :] for a in self._room))


def input_gradients(
    sgd: UnrolledSgd,
    times: Sequence[int],
    shares: Sequence[Tensor | None] | None = None,
    visit: Callable[[int, Parameters], None] | None = None,
) -> Tensor:
    r"""Total derivatives dL_t/dx of every training example, for all evaluation times at once.

    Formula: with a_e = dL_{t_e}/dtheta_{t_e} at time t_e and g_e = dL_{t_e}/dx at fixed theta, for
    s = t_e - 1..0: g_e += -lr d/dx [grad_theta l_s(theta_s) . a_e]; a_e <- (I - lr H_s) a_e. Every
    update is linear in a_e, hence one walk over the updates serves all e.

    Args:
        sgd: the training run.
        times: E update counts, ascending, from 0 to the number of batches; a time may stand more
            than once.
        shares: for each time how much every example counts in its loss, [N]; None counts all.
        visit: called with (t, theta_t) at each distinct time, the last first.

    Returns:
        [E, N, *shape].

    Raises:
        DivergedError: the training does, before the last evaluation time.
    """
    examples, *shape = sgd.x.shape
    # A row for each example and time: index_add_ is fastest on the rows of one matrix.
    total = sgd.x.new_zeros((examples * len(times), math.prod(shape)))
    slots = torch.arange(len(times), device=sgd.x.device)[:, None]
    alive = slots[:0]
    live = len(times)  # adjoints from here on have begun their way back
    stride = kept_stride(times[-1], sgd.update_bytes)
    sgd.remember(times[-1] if stride == 1 else stride)
    adjoints = sgd.adjoints(len(times))
    for t, theta in Trajectory(sgd.start, sgd.step, times[-1], stride=stride).backwards():
        if live < len(times):
            # Update t leads from theta_t to theta_{t+1}, where every adjoint alive now stands.
            share = adjoints.pull_back(t, theta)
            rows = torch.add(alive, sgd.batches[t], alpha=len(times)).view(-1)
            total.index_add_(0, rows, share.reshape(len(rows), -1))
        if visit is not None and live and times[live - 1] == t:
            visit(t, theta)
        while live and times[live - 1] == t:
            live -= 1
            slopes, direct = sgd.slope(t, theta, None if shares is None else shares[live])
            total[live :: len(times)] += direct.flatten(1)
            adjoints.add(slopes)
            alive = slots[live:]
    return total.view(examples, len(times), *shape).transpose(0, 1)


class Trajectory(Generic[State]):
    """States 0..length of a deterministic process, held in memory of order sqrt(length).

    Every ceil(sqrt(length))-th state is kept; what lies between two of them is computed again
    when the walk backwards reaches it, so that each step is taken at most twice.
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
            stride: keep every stride-th state; 1 keeps all of them, and takes each step once.
        """
        self._step = step
        self._length = length
        self._stride = stride or max(1, math.ceil(math.sqrt(length)))
        self._kept = [start]
        state = start
        last = length - length % self._stride  # no state beyond the last one kept is needed yet
        for t in range(last):
            state = step(t, state)
            if (t + 1) % self._stride == 0:
                self._kept.append(state)

    def backwards(self) -> Iterator[tuple[int, State]]:
        """Yield (t, state t) for t = length..0. A walk consumes the states: take one only."""
        end = self._length
        while self._kept:
            segment = [self._kept.pop()]
            first = len(self._kept) * self._stride
            for t in range(first, end):
                segment.append(self._step(t, segment[-1]))
            while segment:
                yield first + len(segment) - 1, segment.pop()
            end = first - 1


def kept_stride(updates: int, update_bytes: int) -> int:
    """Return every how many updates the parameters are kept: each, where there is room for it."""
    return 1 if updates * update_bytes <= KEPT else math.ceil(math.sqrt(updates))


def _leaves(theta: Parameters) -> Parameters:
    return tuple(p.detach().requires_grad_() for p in theta)


def finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all numbers are finite (and their sum: what is near to overflow counts)."""
    return all(math.isfinite(float(tensor.detach().sum())) for tensor in tensors)

"""Plain SGD on a multilayer perceptron, differentiated by formulas instead of by autograd.

Small networks spend their time on fetching memory, making views and starting operations. So memory
and views are made once: for each batch size, and again each time an adjoint begins its way back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from byheart.measures.modules import plain_layers
from byheart.measures.unrolled import DivergedError, Parameters, PlainSgd, finite


def mlp_sgd(model: nn.Module, run: PlainSgd) -> MlpSgd | None:
    """Return the run for a model that is a plain multilayer perceptron, None for any other.

    Args:
        model: see :func:`byheart.measures.modules.plain_layers`.
        run: what autograd would differentiate.
    """
    if plain_layers(model, run.x) is None:
        return None
    return MlpSgd(run.start, run.x.flatten(1), run.y, run.batches, run.learning_rate)


class MlpSgd:
    r"""The same training run as :class:`PlainSgd`, for linear layers with ReLUs between them."""

    def __init__(
        self,
        start: Parameters,
        x: Tensor,
        y: Tensor,
        batches: Sequence[Tensor],
        learning_rate: float,
    ) -> None:
        """Set up a run.

        Args:
            start: weight [out, in] and bias [out] of each layer in turn.
            x: [N, D].
            y: [N].
            batches: index tensors.
            learning_rate: learning rate of plain SGD.
        """
        self.start = start
        self.x = x
        self.y = y
        self.batches = batches
        self.learning_rate = learning_rate
        self._targets = one_hot(y, len(start[-1])).to(x)
        self._by_batch_size: dict[int, UpdatePasses] = {}
        self._saved: dict[int, tuple[Parameters, Tensor]] = {}
        self._remembered = 0
        largest = max(map(len, batches), default=0)
        numbers = sum(p.numel() for p in start) + UpdatePasses.numbers(start, largest)
        self.update_bytes = numbers * x.element_size()

    def store_activations(self, updates: int) -> None:
        """Store the activations of the last ``updates`` updates for the backward pass."""
        self._remembered = updates

    @torch.no_grad()
    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}; :class:`DivergedError` names the update where it is not finite."""
        passes = self.passes_of(s, theta)
        if self._remembered:
            self._saved[s] = theta, passes.saved()
            while len(self._saved) > self._remembered:
                del self._saved[next(iter(self._saved))]
        passes.descend()
        flat = passes.theta.flat.clone()
        if not math.isfinite(float(flat.sum())):
            raise DivergedError(s + 1, len(self.batches), self.learning_rate)
        return FlatParameters.of(flat, self.start)

    @torch.no_grad()
    def loss_gradients(
        self, t: int, theta: Parameters, weights: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta and dL/dx [N, D]; see :meth:`PlainSgd.loss_gradients`."""
        activations, logits = _layers(theta, self.x)
        probabilities = torch.softmax(logits, 1)
        if not finite([probabilities]):
            raise DivergedError(t, len(self.batches), self.learning_rate)
        delta = (probabilities - self._targets) / len(self.x)
        if weights is not None:
            delta = delta * weights[:, None]
        gradient: list[Tensor] = []
        for weight, h in reversed(list(zip(theta[::2], activations, strict=True))):
            gradient[:0] = (delta.T @ h, delta.sum(0))
            delta = delta @ weight
            if weight is not theta[0]:
                delta.mul_(h > 0)
        return tuple(gradient), delta

    def adjoints(self, count: int) -> MlpAdjoints:
        """Allocate buffers for ``count`` adjoints; none is active yet."""
        buffers = tuple(p.new_empty((count, *p.shape)) for p in self.start)
        return MlpAdjoints(self, buffers, count)

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of inputs [N, D] under parameters theta."""
        return _layers(theta, x)[1]

    def passes_of(self, s: int, theta: Parameters) -> UpdatePasses:
        """Return the passes of update s at theta; what was remembered serves once."""
        batch = self.batches[s]
        passes = self._by_batch_size.get(len(batch))
        if passes is None:
            passes = UpdatePasses(self.start, len(batch), self.learning_rate)
            self._by_batch_size[len(batch)] = passes
        passes.set_parameters(theta)
        passes.read_inputs(self.x, batch)
        before, saved = self._saved.pop(s, (None, None))
        if saved is not None and before is theta:
            passes.restore(saved)
        else:
            passes.compute(self._targets, batch)
        return passes


class MlpAdjoints:
    r"""Adjoints (A_l, c_l) of E evaluation times, carried back through one update after the other.

    Formula: the derivative of the batch's loss along an adjoint has u_l = W_l r_{l-1} + A_l h_{l-1}
    + c_l, r_l = 1[z_l > 0] u_l, and its own gradients v_L = (diag(p) - p p^T) u_L / B, v_l =
    1[z_l > 0] (W_{l+1}^T v_{l+1} + A_{l+1}^T delta_{l+1}). They make H a (layer l: v_l h_{l-1}^T +
    delta_l r_{l-1}^T, and the sum of v_l), and W_1^T v_1 + A_1^T delta_1 is what the inputs
    receive.

    Units come before examples, so that the products with what all adjoints share (h_{l-1}) are
    single matrix products over the units of all adjoints.

    Source: Pearlmutter (1994) for the product with the Hessian.
    """

    def __init__(self, run: MlpSgd, buffers: Parameters, first_active: int) -> None:
        """Begin with the adjoints from ``first_active`` on.

        Args:
            run: the training run.
            buffers: [E, *parameter] for weight [out, in] and bias [out] of each layer in turn;
                overwritten.
            first_active: index of the first active adjoint.
        """
        self._run = run
        self._buffers = buffers
        self._first_active = first_active
        self._pull_backs: dict[UpdatePasses, _PullBack] = {}

    def add(self, gradient: Parameters) -> None:
        """Add the adjoint of the next earlier evaluation time."""
        self._first_active -= 1
        for a, values in zip(self._buffers, gradient, strict=True):
            a[self._first_active] = values
        self._pull_backs.clear()

    @torch.no_grad()
    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Propagate all adjoints through update s; return its inputs' gradients, [e, B, D].

        The next call overwrites the returned tensor.
        """
        passes = self._run.passes_of(s, theta)
        if passes not in self._pull_backs:
            adjoints = tuple(a[self._first_active :] for a in self._buffers)
            self._pull_backs[passes] = _PullBack(adjoints, passes)
        return self._pull_backs[passes].run()


class FlatParameters(tuple[Tensor, ...]):
    """Parameters that lie one behind the other in one vector.

    Attributes:
        flat: [P] the vector.
    """

    flat: Tensor

    @classmethod
    def of(cls, flat: Tensor, like: Sequence[Tensor]) -> FlatParameters:
        """Return the parameters that a vector holds, in the shapes of others."""
        parts = torch.split(flat, [p.numel() for p in like])
        pairs = zip(parts, like, strict=True)
        parameters = cls([part if p.dim() == 1 else part.view(p.shape) for part, p in pairs])
        parameters.flat = flat
        return parameters


class UpdatePasses:
    """Parameters, and a forward and a backward pass over a batch, in one buffer.

    Attributes:
        x: [B, D] the batch.
        theta: weight [out, in] and bias [out] of each layer in turn.
        inputs: inputs of each layer, [in, B].
        masks: masks of each hidden layer, 1 where a unit is on, [units, B].
        probabilities: [classes, B].
        shares: -lr / B times the probabilities.
        deltas: for each layer -lr dl / d(its output before the ReLU), [out, B].
        ones: [B].
    """

    def __init__(self, like: Sequence[Tensor], batch: int, rate: float) -> None:
        """Fetch the memory.

        Args:
            like: weight [out, in] and bias [out] of each layer in turn.
            batch: B.
            rate: lr, of plain SGD.
        """
        self._share = -rate / batch
        widths = [len(bias) for bias in like[1::2]]
        hidden = widths[:-1]
        rows = [*hidden, *hidden, widths[-1], widths[-1], *widths]
        size, depth = sum(p.numel() for p in like), len(hidden)
        buffer = like[0].new_empty(size + sum(rows) * batch)
        self.theta = FlatParameters.of(buffer[:size], like)
        self._computed = buffer[size:]
        parts = [p.view(-1, batch) for p in torch.split(self._computed, [n * batch for n in rows])]
        self.x = like[0].new_empty(batch, like[0].shape[1])
        self.inputs = [self.x.T, *parts[:depth]]
        self.masks = parts[depth : 2 * depth]
        self.probabilities, self.shares = parts[2 * depth : 2 * depth + 2]
        self.deltas = parts[2 * depth + 2 :]
        self.ones = like[0].new_ones(batch)
        self._targets = like[0].new_empty(batch, widths[-1])
        self._columns = [bias[:, None] for bias in self.theta[1::2]]
        self._turned = [weight.T for weight in self.theta[::2]]
        self._inputs_turned = [h.T for h in self.inputs]
        self._targets_turned = self._targets.T

    @staticmethod
    def numbers(like: Sequence[Tensor], batch: int) -> int:
        """Return the number of stored activations and gradients of a batch."""
        return 3 * batch * sum(len(bias) for bias in like[1::2])

    def set_parameters(self, theta: Parameters) -> None:
        """Copy parameters into the buffer."""
        if isinstance(theta, FlatParameters):
            self.theta.flat.copy_(theta.flat)
        else:
            for parameter, value in zip(self.theta, theta, strict=True):
                parameter.copy_(value)

    def read_inputs(self, x: Tensor, batch: Tensor) -> None:
        """Read the batch's inputs."""
        torch.index_select(x, 0, batch, out=self.x)

    def compute(self, targets: Tensor, batch: Tensor) -> None:
        """Compute the passes over the batch that was read.

        Args:
            targets: [N, classes] one-hot labels.
            batch: int64 [B].
        """
        torch.index_select(targets, 0, batch, out=self._targets)
        z = self.probabilities
        weights = self.theta[::2]
        for layer, mask in enumerate(self.masks):
            h = self.inputs[layer + 1]
            torch.addmm(self._columns[layer], weights[layer], self.inputs[layer], out=h).relu_()
            torch.sign(h, out=mask)
        torch.addmm(self._columns[-1], weights[-1], self.inputs[-1], out=z)
        torch.softmax(z, 0, out=z)
        torch.mul(z, self._share, out=self.shares)
        torch.sub(self.shares, self._targets_turned, alpha=self._share, out=self.deltas[-1])
        for layer in reversed(range(len(self.masks))):
            delta = self.deltas[layer]
            torch.mm(self._turned[layer + 1], self.deltas[layer + 1], out=delta)
            delta.mul_(self.masks[layer])

    def descend(self) -> None:
        """Take the step of SGD."""
        for layer, (delta, h) in enumerate(zip(self.deltas, self._inputs_turned, strict=True)):
            self.theta[2 * layer].addmm_(delta, h)
            self.theta[2 * layer + 1].addmv_(delta, self.ones)

    def saved(self) -> Tensor:
        """Return a copy of what the passes computed."""
        return self._computed.clone()

    def restore(self, saved: Tensor) -> None:
        """Bring back what :meth:`saved` returned."""
        self._computed.copy_(saved)


class _PullBack:
    """The operations of one update on E adjoints, with all views and memory they need."""

    def __init__(self, adjoints: Parameters, passes: UpdatePasses) -> None:
        count, batch = len(adjoints[0]), len(passes.ones)
        new, theta = adjoints[0].new_empty, passes.theta
        self._passes = passes
        self._u = [new(count, len(bias), batch) for bias in theta[1::2]]
        self._rows = [u.view(-1, batch) for u in self._u]
        self._turned = [u.mT for u in self._u]
        self._a = list(adjoints[::2])
        self._a_rows = [a.view(-1, a.shape[2]) for a in self._a]
        self._a_turned = [a.mT for a in self._a]
        self._c = [c.view(-1) for c in adjoints[1::2]]
        self._columns = [c[:, None] for c in self._c]
        self._weights = [w.expand(count, *w.shape) for w in theta[::2]]
        self._weights_turned = [w.mT for w in self._weights]
        self._deltas = [d.expand(count, *d.shape) for d in passes.deltas]
        self._deltas_turned = [d.mT for d in self._deltas]
        self._inputs_turned = [h.T for h in passes.inputs]
        self._below = [torch.empty_like(u) for u in self._u[:-1]]
        self._below_rows = [v.view(-1, batch) for v in self._below]
        self._below_turned = [v.mT for v in self._below]
        self._sums = new(count, 1, batch)
        self._received = new(count, batch, theta[0].shape[1])

    def run(self) -> Tensor:
        """Carry the adjoints back, and return what the batch receives, [E, B, D]."""
        self._forward()
        passes, v = self._passes, self._u[-1]
        v.mul_(passes.shares)
        torch.sum(v, 1, keepdim=True, out=self._sums)
        v.addcmul_(self._sums, passes.probabilities, value=-1)
        rows = self._rows[-1]
        for layer in range(len(self._u) - 1, 0, -1):
            below, delta = self._below[layer - 1], self._deltas[layer]
            torch.bmm(self._a_turned[layer], delta, out=below)
            below.baddbmm_(self._weights_turned[layer], v).mul_(passes.masks[layer - 1])
            self._a[layer].baddbmm_(delta, self._turned[layer - 1])
            self._descend(layer, rows)
            v, rows = below, self._below_rows[layer - 1]
        first = self._below_turned[0] if self._below else self._turned[0]
        torch.bmm(first, self._weights[0], out=self._received)
        self._received.baddbmm_(self._deltas_turned[0], self._a[0])
        self._descend(0, rows)
        return self._received

    def _forward(self) -> None:
        """Compute r_l of the hidden layers and u_L."""
        passes = self._passes
        for layer, (u, rows) in enumerate(zip(self._u, self._rows, strict=True)):
            torch.addmm(self._columns[layer], self._a_rows[layer], passes.inputs[layer], out=rows)
            if layer:
                u.baddbmm_(self._weights[layer], self._u[layer - 1])
            if layer < len(self._below):
                u.mul_(passes.masks[layer])

    def _descend(self, layer: int, rows: Tensor) -> None:
        self._a_rows[layer].addmm_(rows, self._inputs_turned[layer])
        self._c[layer].addmv_(rows, self._passes.ones)


def _layers(theta: Parameters, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return what each layer reads, and the logits."""
    activations = [x]
    for weight, bias in zip(theta[:-2:2], theta[1:-2:2], strict=True):
        activations.append(torch.addmm(bias, activations[-1], weight.T).relu_())
    return activations, torch.addmm(theta[-1], activations[-1], theta[-2].T)

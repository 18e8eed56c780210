"""Adjoints of a multilayer perceptron's training, carried back all at once."""

from __future__ import annotations

import torch
from torch import Tensor

from byheart.measures.mlp_moment import Moment

Parameters = tuple[Tensor, ...]


class MlpAdjoints:
    r"""Adjoints (A_l, c_l) of E evaluation times, carried back through one update after the other.

    Formula: the derivative of the batch's loss along an adjoint has u_l = W_l r_{l-1} + A_l h_{l-1}
    + c_l, r_l = 1[z_l > 0] u_l, and its own gradients v_L = (diag(p) - p p^T) u_L / B, v_l =
    1[z_l > 0] (W_{l+1}^T v_{l+1} + A_{l+1}^T delta_{l+1}). They make H a (layer l: v_l h_{l-1}^T +
    delta_l r_{l-1}^T, and the sum of v_l), and W_1^T v_1 + A_1^T delta_1 is what the inputs
    receive.

    Units stand before examples, so that the products with what all adjoints share (h_{l-1}) are
    single matrix products over the units of all adjoints.

    Source: Pearlmutter (1994) for the product with the Hessian.
    """

    def __init__(self, room: Parameters, live: int) -> None:
        """Begin with some of the adjoints on their way.

        Args:
            room: [E, *parameter] for weight [out, in] and bias [out] of each layer in turn; it is
                written to.
            live: the first of those on their way.
        """
        self._room = room
        self._live = live
        self._ways: dict[Moment, _Way] = {}

    def add(self, slopes: Parameters) -> None:
        """Put an adjoint before those that are on their way; slopes as the parameters."""
        self._live -= 1
        for a, slope in zip(self._room, slopes, strict=True):
            a[self._live] = slope
        self._ways.clear()

    def pull_back(self, moment: Moment) -> Tensor:
        """Carry all adjoints from behind an update to before it.

        Args:
            moment: of the update, before it.

        Returns:
            [e, B, D] what the examples of the batch receive. The next call overwrites it.
        """
        if moment not in self._ways:
            now = tuple(a[self._live :] for a in self._room)
            self._ways[moment] = _Way(now, moment)
        return self._ways[moment].back()


class _Way:
    """The operations of one update on E adjoints, with all views and memory they need."""

    def __init__(self, adjoints: Parameters, moment: Moment) -> None:
        count, batch = len(adjoints[0]), len(moment.ones)
        new, theta = adjoints[0].new_empty, moment.theta
        self._moment = moment
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
        self._deltas = [d.expand(count, *d.shape) for d in moment.deltas]
        self._deltas_turned = [d.mT for d in self._deltas]
        self._inputs_turned = [h.T for h in moment.inputs]
        self._below = [torch.empty_like(u) for u in self._u[:-1]]
        self._below_rows = [v.view(-1, batch) for v in self._below]
        self._below_turned = [v.mT for v in self._below]
        self._sums = new(count, 1, batch)
        self._received = new(count, batch, theta[0].shape[1])

    def back(self) -> Tensor:
        """Carry the adjoints back, and return what the batch receives, [E, B, D]."""
        self._forth()
        moment, v = self._moment, self._u[-1]
        v.mul_(moment.shares)
        torch.sum(v, 1, keepdim=True, out=self._sums)
        v.addcmul_(self._sums, moment.probabilities, value=-1)
        rows = self._rows[-1]
        for layer in range(len(self._u) - 1, 0, -1):
            below, delta = self._below[layer - 1], self._deltas[layer]
            torch.bmm(self._a_turned[layer], delta, out=below)
            below.baddbmm_(self._weights_turned[layer], v).mul_(moment.masks[layer - 1])
            self._a[layer].baddbmm_(delta, self._turned[layer - 1])
            self._descend(layer, rows)
            v, rows = below, self._below_rows[layer - 1]
        first = self._below_turned[0] if self._below else self._turned[0]
        torch.bmm(first, self._weights[0], out=self._received)
        self._received.baddbmm_(self._deltas_turned[0], self._a[0])
        self._descend(0, rows)
        return self._received

    def _forth(self) -> None:
        """Compute r_l of the hidden layers and u_L."""
        moment = self._moment
        for layer, (u, rows) in enumerate(zip(self._u, self._rows, strict=True)):
            torch.addmm(self._columns[layer], self._a_rows[layer], moment.inputs[layer], out=rows)
            if layer:
                u.baddbmm_(self._weights[layer], self._u[layer - 1])
            if layer < len(self._below):
                u.mul_(moment.masks[layer])

    def _descend(self, layer: int, rows: Tensor) -> None:
        self._a_rows[layer].addmm_(rows, self._inputs_turned[layer])
        self._c[layer].addmv_(rows, self._moment.ones)

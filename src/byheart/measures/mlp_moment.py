"""One update of a multilayer perceptron, computed in memory that is used again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Parameters = tuple[Tensor, ...]


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
        new = cls([part if p.dim() == 1 else part.view(p.shape) for part, p in pairs])
        new.flat = flat
        return new


class Moment:
    """Parameters, and a forward and a backward pass over a batch, in one buffer.

    Small networks spend their time between the products: on fetching memory, on making views and on
    starting operations. So memory and views are made once for a size of batch, and what a pass
    leaves is put aside and taken up again by one copy.

    Attributes:
        x: [B, D] the batch.
        theta: weight [out, in] and bias [out] of each layer in turn.
        inputs: of each layer, [in, B].
        masks: of each hidden layer, 1 where a unit is on, [units, B].
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
        self._flat = like[0].new_empty(size + sum(rows) * batch)
        self.theta = FlatParameters.of(self._flat[:size], like)
        self._passed = self._flat[size:]
        parts = [p.view(-1, batch) for p in torch.split(self._passed, [n * batch for n in rows])]
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
        """Return how many numbers a pass leaves."""
        widths = [len(bias) for bias in like[1::2]]
        return batch * (3 * sum(widths))

    def move(self, theta: Parameters) -> None:
        """Take over parameters."""
        if isinstance(theta, FlatParameters):
            self.theta.flat.copy_(theta.flat)
        else:
            for mine, other in zip(self.theta, theta, strict=True):
                mine.copy_(other)

    def read(self, x: Tensor, batch: Tensor) -> None:
        """Read the batch's inputs."""
        torch.index_select(x, 0, batch, out=self.x)

    def take(self, targets: Tensor, batch: Tensor) -> None:
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
        """Take the step that the passes say."""
        for layer, (delta, h) in enumerate(zip(self.deltas, self._inputs_turned, strict=True)):
            self.theta[2 * layer].addmm_(delta, h)
            self.theta[2 * layer + 1].addmv_(delta, self.ones)

    def put_aside(self) -> Tensor:
        """Return a copy of what the passes left."""
        return self._passed.clone()

    def take_up(self, passed: Tensor) -> None:
        """Bring back what :meth:`put_aside` returned."""
        self._passed.copy_(passed)

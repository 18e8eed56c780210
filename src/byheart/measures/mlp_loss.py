"""The training losses of a pack of MLPs, by hand-written passes instead of by autograd."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.measures.training_loss import PackData
from byheart.networks.mlp import ReplicatedMLP

MAX_STORED_BYTES = 2**27
"""Largest memory for activations stored between Hessian products, in bytes."""

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Passes:
    """Results of a forward and a backward pass over a batch.

    Attributes:
        inputs: the inputs of each layer, [R, B, fan_in].
        masks: for each hidden layer 1 where a unit is on, [R, B, units].
        deltas: for each layer dL / d(its output before the ReLU), [R, B, fan_out].
        probabilities: [R, B, classes].
        shares: probabilities / N.
    """

    inputs: list[Tensor]
    masks: list[Tensor]
    deltas: list[Tensor]
    probabilities: Tensor
    shares: Tensor

    def select(self, replicas: Tensor) -> _Passes:
        """Return the part of some replicas, by index."""
        return _Passes(
            [h[replicas] for h in self.inputs],
            [mask[replicas] for mask in self.masks],
            [delta[replicas] for delta in self.deltas],
            self.probabilities[replicas],
            self.shares[replicas],
        )


class MLPLoss:
    r"""The losses of a pack of MLPs; see :class:`byheart.measures.training_loss.PackLoss`.

    Formula: with h_l the inputs and d_l the deltas of layer l, the operator R{.} = d/de at
    theta + e v gives R{z_l} = h_l V_l + R{h_l} W_l + u_l, R{h_{l+1}} = R{z_l} * [z_l > 0],
    R{d_last} = p * (R{z} - p . R{z}) / N, R{d_{l-1}} = (R{d_l} W_l^T + d_l V_l^T) * [z_{l-1} > 0],
    and H v is R{h_l^T d_l} = h_l^T R{d_l} + R{h_l}^T d_l for the weights, the sum of R{d_l} for
    the biases. h_l and d_l do not depend on v, so they are stored between products if they fit.

    Args:
        network: the replicas.
        data: their training examples.
        chunk: examples of each replica in memory at once.

    Source: Pearlmutter (1994), "Fast exact multiplication by the Hessian".
    """

    def __init__(self, network: ReplicatedMLP, data: PackData, *, chunk: int) -> None:
        self._data, self._chunk = data, chunk
        self._layers = list(zip(network.weights, network.biases, strict=True))
        self.theta = torch.cat([p.flatten(1) for layer in self._layers for p in layer], dim=1)
        self._kept: list[_Passes] = []

    def select(self, replicas: Tensor) -> MLPLoss:
        """Return the losses of some replicas; see :class:`PackLoss`."""
        chosen = copy.copy(self)
        chosen._data = self._data.select(replicas)
        chosen._layers = [(w[replicas], b[replicas]) for w, b in self._layers]
        chosen.theta = self.theta[replicas]
        chosen._kept = [passes.select(replicas) for passes in self._kept]
        return chosen

    def gradient(self) -> Tensor:
        """Return the gradients; see :class:`PackLoss`."""
        total = torch.zeros_like(self.theta)
        for passes in self._all_passes():
            total += _flat(
                (torch.bmm(h.mT, delta), delta.sum(1))
                for h, delta in zip(passes.inputs, passes.deltas, strict=True)
            )
        return total

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return changes of the gradients; see :class:`PackLoss`."""
        moved = zip(self._layers, self._split(shift), strict=True)
        # Both points side by side: small networks spend their time between the products.
        layers = [(torch.cat([w, w + v]), torch.cat([b, b + u])) for (w, b), (v, u) in moved]
        count = self._data.y.shape[1] if columns is None else len(columns)
        total = torch.zeros_like(self.theta).repeat(2, 1)
        out = self._split(total)
        for x, y in self._data.chunks(self._chunk, columns):
            passes = _pass(layers, x.repeat(2, 1, 1), y.repeat(2, 1), count)
            for (w, b), h, d in zip(out, passes.inputs, passes.deltas, strict=True):
                w.baddbmm_(h.mT, d)
                b.add_(d.sum(1, keepdim=True))
        return total[len(shift) :] - total[: len(shift)]

    def product(self, vectors: Tensor) -> Tensor:
        """Return Hessian products; see :class:`PackLoss`."""
        along = self._split(vectors)
        # Apart from each other: batched products are fastest into whole tensors.
        out = [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in self._layers]
        for passes in self._all_passes():
            self._add_product(passes, along, out)
        return _flat(out)

    def _add_product(self, passes: _Passes, along: list[Layer], out: list[Layer]) -> None:
        moved, r_logits = self._r_forward(passes, along)
        r_delta = r_logits.mul_(passes.shares)
        r_delta.addcmul_(r_delta.sum(2, keepdim=True), passes.probabilities, value=-1)
        for layer in reversed(range(len(along))):
            (w, b), h, delta = out[layer], passes.inputs[layer], passes.deltas[layer]
            w.baddbmm_(h.mT, r_delta)
            b.add_(r_delta.sum(1, keepdim=True))
            if layer:
                w.baddbmm_(moved[layer - 1].mT, delta)
                r_delta = torch.bmm(r_delta, self._layers[layer][0].mT)
                r_delta.baddbmm_(delta, along[layer][0].mT).mul_(passes.masks[layer - 1])

    def _r_forward(self, passes: _Passes, along: list[Layer]) -> tuple[list[Tensor], Tensor]:
        """Return R{h} of what the hidden layers put out, and R{z}."""
        moved: list[Tensor] = []
        for layer, (h, (v, u)) in enumerate(zip(passes.inputs, along, strict=True)):
            r_z = torch.baddbmm(u, h, v)
            if layer:
                r_z.baddbmm_(moved[-1], self._layers[layer][0])
            if layer < len(passes.masks):
                moved.append(r_z.mul_(passes.masks[layer]))
        return moved, r_z

    def _all_passes(self) -> Iterator[_Passes]:
        if self._kept:
            yield from self._kept
            return
        fits = self._data.y.numel() * self.example_bytes() <= MAX_STORED_BYTES
        for x, y in self._data.chunks(self._chunk):
            passes = _pass(self._layers, x, y, self._data.y.shape[1])
            if fits:
                self._kept.append(passes)
            yield passes

    def example_bytes(self) -> int:
        """Return the memory of one example's activations and gradients, in bytes."""
        widths = sum(w.shape[1] + 3 * w.shape[2] for w, _ in self._layers)
        return widths * self.theta.element_size()

    def _split(self, vectors: Tensor) -> list[Layer]:
        """Return views of vectors [R, P] in the shapes of weights and biases."""
        layers, start = [], 0
        for weight, bias in self._layers:
            middle = start + weight[0].numel()
            end = middle + bias[0].numel()
            w, b = vectors[:, start:middle], vectors[:, middle:end]
            layers.append((w.view(-1, *weight.shape[1:]), b.view(-1, *bias.shape[1:])))
            start = end
        return layers


def without_idle_weights(network: ReplicatedMLP, data: PackData) -> tuple[ReplicatedMLP, PackData]:
    """Leave out inputs that are zero in all examples (a margin of pixels), and their weights.

    The rows and columns that these weights have in the Hessian are zero: the rest has the same
    eigenvalues but for some that are zero.
    """
    used = (data.pool[torch.unique(data.rows)] != 0).any(0).nonzero()[:, 0]
    if len(used) in (0, data.pool.shape[1]):
        return network, data
    first, *rest = network.weights
    narrow = ReplicatedMLP([first[:, used], *rest], network.biases)
    return narrow, PackData(data.pool[:, used], data.rows, data.y)


def _pass(layers: list[Layer], x: Tensor, y: Tensor, count: int) -> _Passes:
    inputs = [x]
    for weight, bias in layers[:-1]:
        inputs.append(torch.baddbmm(bias, inputs[-1], weight).relu_())
    weight, bias = layers[-1]
    probabilities = torch.softmax(torch.baddbmm(bias, inputs[-1], weight), dim=2)
    right = torch.zeros_like(probabilities).scatter_(2, y[..., None], 1.0)
    masks = [h.sign() for h in inputs[1:]]
    deltas = [(probabilities - right) / count]
    for (weight, _), mask in zip(layers[:0:-1], masks[::-1], strict=True):
        deltas.append(torch.bmm(deltas[-1], weight.mT).mul_(mask))
    return _Passes(inputs, masks, deltas[::-1], probabilities, probabilities / count)


def _flat(layers: Iterable[Layer]) -> Tensor:
    return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)

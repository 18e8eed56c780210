"""The training losses of a pack of MLPs, with forward, backward and R-passes written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from byheart.measures.pack_data import PackData
from byheart.networks.mlp import ReplicatedMLP

KEPT = 2**27
"""Bytes of activations that are kept from one Hessian product to the next."""

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Passed:
    """What a forward and a backward pass over some examples leave.

    Attributes:
        inputs: of each layer, [R, B, fan_in].
        deltas: for each layer dL / d(its output before the ReLU), [R, B, fan_out].
        probabilities: [R, B, classes].
    """

    inputs: list[Tensor]
    deltas: list[Tensor]
    probabilities: Tensor


class MLPLoss:
    r"""The losses of a pack of MLPs; see :class:`byheart.measures.pack_loss.PackLoss`.

    Formula: with h_l the inputs and d_l the deltas of layer l, the operator R{.} = d/de at
    theta + e v gives R{z_l} = h_l V_l + R{h_l} W_l + u_l, R{h_{l+1}} = R{z_l} * [z_l > 0],
    R{d_last} = p * (R{z} - p . R{z}) / N, R{d_{l-1}} = (R{d_l} W_l^T + d_l V_l^T) * [z_{l-1} > 0],
    and H v is R{h_l^T d_l} = h_l^T R{d_l} + R{h_l}^T d_l for the weights, the sum of R{d_l} for
    the biases. h_l and d_l do not depend on v, so they are kept between products where they fit.

    Args:
        network: the replicas.
        data: their training examples.
        chunk: examples of each replica in memory at once.

    Source: Pearlmutter (1994), "Fast exact multiplication by the Hessian".
    """

    def __init__(self, network: ReplicatedMLP, data: PackData, *, chunk: int) -> None:
        self._network, self._data, self._chunk = network, data, chunk
        self._layers = list(zip(network.weights, network.biases, strict=True))
        self.theta = torch.cat([p.flatten(1) for layer in self._layers for p in layer], dim=1)
        self._kept: list[_Passed] = []

    def select(self, replicas: Tensor) -> MLPLoss:
        """Return the losses of some replicas; see :class:`PackLoss`."""
        chosen = MLPLoss(
            self._network.select(replicas), self._data.select(replicas), chunk=self._chunk
        )
        chosen._kept = [
            _Passed(
                [h[replicas] for h in one.inputs],
                [d[replicas] for d in one.deltas],
                one.probabilities[replicas],
            )
            for one in self._kept
        ]
        return chosen

    def change(self, shift: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return changes of the gradients; see :class:`PackLoss`."""
        moved = zip(self._layers, self._split(shift), strict=True)
        # Both points side by side: small networks spend their time between the products.
        layers = [(torch.cat([w, w + v]), torch.cat([b, b + u])) for (w, b), (v, u) in moved]
        total = torch.zeros_like(self.theta).repeat(2, 1)
        out = self._split(total)
        for x, y, count in self._chunks(columns):
            passed = _pass(layers, x.repeat(2, 1, 1), y.repeat(2, 1), count)
            for (w, b), h, d in zip(out, passed.inputs, passed.deltas, strict=True):
                w.baddbmm_(h.mT, d)
                b.add_(d.sum(1, keepdim=True))
        return total[len(shift) :] - total[: len(shift)]

    def product(self, vectors: Tensor) -> Tensor:
        """Return Hessian products; see :class:`PackLoss`."""
        total = torch.zeros_like(self.theta)
        along, out = self._split(vectors), self._split(total)
        for passed in self._kept_passes():
            r_inputs, r_logits = self._r_forward(passed, along)
            p = passed.probabilities
            r_delta = p * r_logits
            r_delta = r_delta.sub_(p * r_delta.sum(2, keepdim=True)).div_(self._data.y.shape[1])
            for layer in reversed(range(len(out))):
                w, b = out[layer]
                h, r_h, delta = passed.inputs[layer], r_inputs[layer], passed.deltas[layer]
                w.baddbmm_(h.mT, r_delta)
                b.add_(r_delta.sum(1, keepdim=True))
                if r_h is not None:
                    w.baddbmm_(r_h.mT, delta)
                    r_delta = torch.bmm(r_delta, self._layers[layer][0].mT)
                    r_delta = r_delta.baddbmm_(delta, along[layer][0].mT).mul_(h > 0)
        return total

    def _r_forward(self, passed: _Passed, along: list[Layer]) -> tuple[list[Tensor | None], Tensor]:
        """Return R{h} of each layer's inputs (None for the data, which do not move), and R{z}."""
        moved: list[Tensor | None] = [None]
        for layer, (h, (v, u)) in enumerate(zip(passed.inputs, along, strict=True)):
            r_z = torch.baddbmm(u, h, v)
            r_h = moved[-1]
            if r_h is not None:
                r_z = r_z.baddbmm_(r_h, self._layers[layer][0])
            if layer + 1 == len(along):
                break
            moved.append(r_z.mul_(passed.inputs[layer + 1] > 0))
        return moved, r_z

    def _kept_passes(self) -> Iterator[_Passed]:
        if self._kept:
            yield from self._kept
            return
        widths = sum(w.shape[1] + 2 * w.shape[2] for w, _ in self._layers)
        fits = self._data.y.numel() * widths * self.theta.element_size() <= KEPT
        for x, y, count in self._chunks():
            passed = _pass(self._layers, x, y, count)
            if fits:
                self._kept.append(passed)
            yield passed

    def _chunks(self, columns: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yield inputs, labels and the number of examples in all, a chunk at a time."""
        count = self._data.y.shape[1] if columns is None else len(columns)
        for start in range(0, count, self._chunk):
            chosen: slice | Tensor = slice(start, start + self._chunk)
            if columns is not None:
                chosen = columns[chosen]
            yield *self._data.columns(chosen), count

    def _split(self, vectors: Tensor) -> list[Layer]:
        """Return views of vectors [R, P] in the shapes of weights and biases."""
        layers, start = [], 0
        view = partial(_view, vectors)
        for weight, bias in self._layers:
            middle = start + weight[0].numel()
            end = middle + bias[0].numel()
            layers.append((view(start, middle, weight), view(middle, end, bias)))
            start = end
        return layers


def _view(vectors: Tensor, start: int, end: int, like: Tensor) -> Tensor:
    return vectors[:, start:end].view(-1, *like.shape[1:])


def _pass(layers: list[Layer], x: Tensor, y: Tensor, count: int) -> _Passed:
    inputs = [x]
    for weight, bias in layers[:-1]:
        inputs.append(torch.baddbmm(bias, inputs[-1], weight).relu_())
    weight, bias = layers[-1]
    probabilities = torch.softmax(torch.baddbmm(bias, inputs[-1], weight), dim=2)
    right = torch.zeros_like(probabilities).scatter_(2, y[..., None], 1.0)
    deltas = [(probabilities - right) / count]
    for (weight, _), h in zip(layers[:0:-1], inputs[:0:-1], strict=True):
        deltas.append(torch.bmm(deltas[-1], weight.mT).mul_(h > 0))
    return _Passed(inputs, deltas[::-1], probabilities)

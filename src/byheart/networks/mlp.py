"""Multilayer perceptrons whose parameters carry a leading replica dimension."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from byheart.seeds import generator


def glorot_uniform(sizes: Sequence[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    r"""Return the initial weights and biases of one MLP.

    Formula: W_ij ~ U(-a, a) with a = sqrt(6 / (fan_in + fan_out)); b = 0.

    Args:
        sizes: widths from input to output.
        seed: replica's seed; the draw depends on it and on ``sizes`` alone.

    Returns:
        For each layer (weight [fan_in, fan_out], bias [fan_out]), float64.

    Source: Glorot & Bengio (2010), eq. 16; Keras' default when the papers were written.
    """
    rng = generator("init", seed, list(sizes))
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = math.sqrt(6.0 / (fan_in + fan_out))
        weight = rng.uniform(-bound, bound, size=(fan_in, fan_out))
        layers.append((torch.from_numpy(weight), torch.zeros(fan_out, dtype=torch.float64)))
    return layers


class ReplicatedMLP:
    """R multilayer perceptrons with ReLU hidden layers, trained and evaluated as one program.

    Attributes:
        weights: for each layer a tensor [R, fan_in, fan_out].
        biases: for each layer a tensor [R, 1, fan_out].
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        self.weights = weights
        self.biases = biases

    @classmethod
    def initialised(
        cls,
        sizes: Sequence[int],
        seeds: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> ReplicatedMLP:
        """Return one replica per seed, each initialised by :func:`glorot_uniform`."""
        shapes = list(itertools.pairwise(sizes))
        weights = [torch.empty(len(seeds), a, b, dtype=dtype) for a, b in shapes]
        biases = [torch.empty(len(seeds), 1, b, dtype=dtype) for _, b in shapes]
        for replica, seed in enumerate(seeds):
            for layer, (weight, bias) in enumerate(glorot_uniform(sizes, seed)):
                weights[layer][replica] = weight
                biases[layer][replica] = bias
        return cls([w.to(device) for w in weights], [b.to(device) for b in biases])

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return self.weights[0].shape[0]

    @property
    def inputs(self) -> int:
        """Number of values in one input."""
        return self.weights[0].shape[1]

    @property
    def hidden(self) -> list[int]:
        """Widths of the hidden layers."""
        return [bias.shape[2] for bias in self.biases[:-1]]

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] of inputs [R, N, inputs], or [N, inputs] shared by all."""
        *hidden, last = zip(self.weights, self.biases, strict=True)
        h = x.expand(self.replicas, *x.shape[-2:])
        for weight, bias in hidden:
            h = torch.relu(torch.baddbmm(bias, h, weight))
        return torch.baddbmm(last[1], h, last[0])

    def select(self, replicas: Tensor) -> ReplicatedMLP:
        """Return a copy of some replicas, by index or mask."""
        return ReplicatedMLP(
            [weight[replicas] for weight in self.weights], [bias[replicas] for bias in self.biases]
        )

    def finite(self) -> Tensor:
        """Return for each replica whether all its parameters are finite, bool [R]."""
        total = sum(p.flatten(1).sum(1) for p in (*self.weights, *self.biases))
        return torch.isfinite(torch.as_tensor(total))

    def module(self, replica: int) -> nn.Sequential:
        """Return one replica as an ordinary module, with copies of its parameters."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[2]).to(weight)
            with torch.no_grad():
                linear.weight.copy_(weight[replica].T)
                linear.bias.copy_(bias[replica, 0])
            layers += [linear, nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *layers[:-1])

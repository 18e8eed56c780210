"""How much an example's loss hangs on its input: the gradient, at some epochs of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from byheart.networks.base import PackNetwork

CHUNK = 256
"""Examples per backward pass and replica."""


def epochs_to_measure(epochs: int) -> tuple[int, ...]:
    """Return 1, 2, 3, 5, 8, ... up to the last epoch: about equally far apart in ratio."""
    chosen, following = [1], 2
    while following <= epochs:
        chosen.append(following)
        following = sum(chosen[-2:])
    return tuple(chosen)


def input_gradients(network: PackNetwork, x: Tensor, y: Tensor) -> NDArray[np.float32]:
    r"""Return the loss-sensitivity of each example on its own input.

    Formula: ||d l(f(x), y) / dx||_1, with l the cross-entropy, in eval mode.

    Args:
        network: R replicas.
        x: [N, inputs].
        y: [N] labels.

    Returns:
        [R, N].

    Source: the norm of A17 section 3.2, there of the average loss with respect to a training
    example, through the training; here of an example's own loss at a given epoch.
    """
    parts = []
    for inputs, labels in zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True):
        each = inputs.expand(network.replicas, *inputs.shape).clone().requires_grad_(True)
        with torch.enable_grad():
            logits = network(each)
            wanted = labels.expand(network.replicas, -1).flatten()
            loss = functional.cross_entropy(logits.flatten(0, 1), wanted, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, each)
        parts.append(gradient.abs().sum(2).cpu())
    return torch.cat(parts, 1).numpy()


def sensitivity(
    taken: Sequence[tuple[int, NDArray[np.float32]]], window: int
) -> NDArray[np.float64]:
    """Return the mean over seeds and over the measured epochs of a window, [N].

    Args:
        taken: epoch, counted from 1, and [N], for each seed and measured epoch.
        window: the last epoch that counts.
    """
    within = [values for epoch, values in taken if epoch <= window]
    total: NDArray[np.float64] = np.mean(np.stack(within), axis=0, dtype=np.float64)
    return total

"""The slow twins of loss-sensitivity: one autograd graph of all of training, and retraining."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy


def trained(
    model: nn.Module, x: Tensor, y: Tensor, batches: Sequence[Tensor], learning_rate: float
) -> Tensor:
    """Return the mean training loss after one SGD step for each batch, as a function of x."""
    theta = {
        name: p.detach().clone().requires_grad_()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    for batch in batches:
        loss = cross_entropy(functional_call(model, theta, (x[batch],)), y[batch])
        slopes = torch.autograd.grad(
            loss, tuple(theta.values()), create_graph=True, materialize_grads=True
        )
        theta = {
            name: p - learning_rate * slope
            for (name, p), slope in zip(theta.items(), slopes, strict=True)
        }
    return cross_entropy(functional_call(model, theta, (x,)), y)


def unrolled_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    batches: Sequence[Tensor],
    learning_rate: float,
    evaluate_at: Sequence[int],
) -> Tensor:
    """Return dL_t/dx [E, N, *shape], training anew with its whole graph for each time."""
    gradients = []
    for t in evaluate_at:
        leaf = x.detach().clone().requires_grad_()
        loss = trained(model, leaf, y, batches[:t], learning_rate)
        gradients.append(torch.autograd.grad(loss, leaf)[0])
    return torch.stack(gradients)


def retrained_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    batches: Sequence[Tensor],
    learning_rate: float,
    evaluate_at: Sequence[int],
    distance: float,
) -> Tensor:
    """Return dL_t/dx [E, N, D] by central differences: two trainings for each coordinate."""
    gradients = torch.zeros(len(evaluate_at), *x.shape, dtype=x.dtype)
    for e, t in enumerate(evaluate_at):
        for n in range(x.shape[0]):
            for d in range(x.shape[1]):
                ends = []
                for sign in (1, -1):
                    moved = x.clone()
                    moved[n, d] += sign * distance
                    ends.append(trained(model, moved, y, batches[:t], learning_rate).item())
                gradients[e, n, d] = (ends[0] - ends[1]) / (2 * distance)
    return gradients

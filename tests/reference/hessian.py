"""The slow twin of sharpness: the whole Hessian, entry by entry, and all its eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from byheart.measures.sharpness import start_vector
from byheart.measures.training_loss import PackData
from byheart.networks.base import PackNetwork
from byheart.seeds import generator


def dense_hessian(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the Hessian of the mean cross-entropy over the trainable parameters, [P, P]."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    values = [p.detach() for p in model.parameters() if p.requires_grad]
    theta = torch.cat([value.reshape(-1) for value in values])

    def loss(flat: Tensor) -> Tensor:
        parts = torch.split(flat, [value.numel() for value in values])
        shaped = [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]
        logits = functional_call(model, dict(zip(names, shaped, strict=True)), (x,))
        return -torch.log_softmax(logits, 1)[torch.arange(len(y)), y].mean()

    return torch.autograd.functional.hessian(loss, theta)


def largest(matrix: Tensor) -> float:
    """Return the eigenvalue of largest magnitude of a symmetric matrix, with its sign."""
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    return float(values[values.abs().argmax()])


def relative_hessian(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return D H D with D = diag(|theta|), [P, P]."""
    theta = torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad])
    return theta.abs()[:, None] * dense_hessian(model, x, y) * theta.abs()


def softmax_regression_hessian(weight: Tensor, x: Tensor) -> Tensor:
    """Return the closed form for logits x W^T: mean of (diag(p) - p p^T) (x) x x^T, [P, P]."""
    total = torch.zeros(weight.numel(), weight.numel(), dtype=weight.dtype)
    for example in x:
        p = torch.softmax(weight @ example, 0)
        total += torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(example, example))
    return total / len(x)


def online_estimate(
    network: PackNetwork,
    parameters: list[Tensor],
    data: PackData,
    *,
    iterations: int,
    batch_size: int,
    alpha: float,
    seed: int,
    gamma: float = 0.05,
) -> list[float]:
    """Return the on-line estimate of each replica, one at a time, by whole passes over the pack."""
    shapes = [parameter.shape[1:] for parameter in parameters]
    sizes = [shape.numel() for shape in shapes]
    values = [parameter.clone() for parameter in parameters]

    def gradient(replica: int, shift: Tensor, columns: Tensor) -> Tensor:
        parts = torch.split(shift, sizes)
        for parameter, value, part, shape in zip(parameters, values, parts, shapes, strict=True):
            parameter.data.copy_(value)
            parameter.data[replica] += part.view(shape)
            parameter.requires_grad_()
        rows = data.rows[replica, columns]
        with torch.enable_grad():
            logits = network(data.pool[rows].expand(network.replicas, *data.pool[rows].shape))
            given = torch.log_softmax(logits[replica], 1)[
                range(len(rows)), data.y[replica, columns]
            ]
            slopes = torch.autograd.grad(-given.mean(), parameters, materialize_grads=True)
        for parameter, value in zip(parameters, values, strict=True):
            parameter.requires_grad_(False)
            parameter.data.copy_(value)
        return torch.cat([slope[replica].reshape(-1) for slope in slopes])

    estimates = []
    for replica in range(network.replicas):
        batches = generator("online-sharpness-batches", seed)
        psi = start_vector("online-sharpness", seed, values[0].new_zeros(sum(sizes)))
        psi = psi / psi.norm()
        for iteration in range(iterations):
            columns = torch.from_numpy(batches.integers(data.y.shape[1], size=batch_size))
            here = gradient(replica, torch.zeros_like(psi), columns)
            there = gradient(replica, alpha * psi / psi.norm(), columns)
            weight = gamma / (1 + gamma * max(0, iteration - iterations // 2))
            psi = (1 - weight) * psi + weight / alpha * (there - here)
        estimates.append(float(psi.norm()))
    return estimates

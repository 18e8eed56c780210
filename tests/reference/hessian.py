"""The slow twin of sharpness: the whole Hessian, entry by entry, and all its eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


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

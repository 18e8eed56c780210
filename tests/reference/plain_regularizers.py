"""The slow twins of regularizers: one network, one example at a time, by the authors' formulas."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from byheart.seeds import generator

Batches = Sequence[tuple[Tensor, Tensor, Tensor]]
"""Ids [B], inputs [B, D] and labels [B] of each step."""
Loss = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def plainly(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    lr: float,
    weight_decay: float = 0.0,
    clip: float | None = None,
    rho: float | None = None,
) -> nn.Module:
    """Return a copy of a network after some steps of ``torch.optim.SGD``."""
    model = copy.deepcopy(model).train()
    sgd = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    for ids, x, y in batches:
        sgd.zero_grad()
        loss(model, ids, x, y).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        if rho is not None:
            climb(model, rho, lambda ids=ids, x=x, y=y: loss(model, ids, x, y))
        sgd.step()
    return model


def climb(model: nn.Module, rho: float, loss: Callable[[], Tensor]) -> None:
    """Put the gradient at w + rho g / |g| in the place of g, as Foret et al. write it."""
    own = [p.detach().clone() for p in model.parameters()]
    length = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    with torch.no_grad():
        for p in model.parameters():
            p += rho * p.grad / length
    model.zero_grad()
    loss().backward()
    with torch.no_grad():
        for p, before in zip(model.parameters(), own, strict=True):
            p.copy_(before)


def cross_entropy(model: nn.Module, ids: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def smoothed(epsilon: float) -> Loss:
    return lambda model, ids, x, y: nn.functional.cross_entropy(
        model(x), y, label_smoothing=epsilon
    )


def generalized(q: float) -> Loss:
    """Zhang and Sabuncu's ``TruncatedLoss`` without its truncation: ((1 - Yg ** q) / q)."""

    def loss(model: nn.Module, ids: Tensor, x: Tensor, y: Tensor) -> Tensor:
        given = torch.softmax(model(x), 1).gather(1, y.unsqueeze(1))
        return ((1 - given**q) / q).mean()

    return loss


def early_learning(lam: float, examples: int, classes: int) -> Loss:
    """Liu et al.'s ``elr_loss``, line by line."""
    target = torch.zeros(examples, classes, dtype=torch.float64)
    beta = 0.7

    def loss(model: nn.Module, index: Tensor, x: Tensor, label: Tensor) -> Tensor:
        output = model(x)
        y_pred = torch.clamp(nn.functional.softmax(output, dim=1), 1e-4, 1.0 - 1e-4)
        y_pred_ = y_pred.data.detach()
        target[index] = beta * target[index] + (1 - beta) * (
            y_pred_ / y_pred_.sum(dim=1, keepdim=True)
        )
        ce = nn.functional.cross_entropy(output, label)
        reg = ((1 - (target[index] * y_pred).sum(dim=1)).log()).mean()
        return ce + lam * reg

    return loss


def mixed(alpha: float, seed: int) -> Loss:
    """Zhang et al.'s ``mixup_data`` and ``mixup_criterion``."""
    rng = generator("mixup", seed, 0)

    def loss(model: nn.Module, ids: Tensor, x: Tensor, y: Tensor) -> Tensor:
        index = torch.from_numpy(rng.permutation(len(x)))
        lam = rng.beta(alpha, alpha)
        output = model(lam * x + (1 - lam) * x[index])
        of = nn.functional.cross_entropy
        return lam * of(output, y) + (1 - lam) * of(output, y[index])

    return loss


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return an image [C, H, W] moved by whole pixels."""
    moved = np.zeros_like(image)
    _, height, width = image.shape
    for i in range(height):
        for j in range(width):
            if 0 <= i - down < height and 0 <= j - right < width:
                moved[:, i, j] = image[:, i - down, j - right]
    return moved


def cut_out(image: np.ndarray, y: int, x: int, length: int) -> np.ndarray:
    """DeVries and Taylor's ``Cutout``, for an even length."""
    _, h, w = image.shape
    cut = image.copy()
    y1, y2 = np.clip(y - length // 2, 0, h), np.clip(y + length // 2, 0, h)
    x1, x2 = np.clip(x - length // 2, 0, w), np.clip(x + length // 2, 0, w)
    cut[:, y1:y2, x1:x2] = 0.0
    return cut

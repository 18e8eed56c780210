"""The slow twin of LASS: one example, one step and one coordinate rule at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def slow_search(
    model: nn.Module,
    x: Tensor,
    radius: float,
    *,
    step: float,
    noise: float,
    max_steps: int,
    generator: torch.Generator,
) -> list[int]:
    """Return for each example the iteration at which its predicted class changed; -1 if never."""
    etas = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(max_steps)]
    found = []
    for i in range(len(x)):
        start = x[i]
        predicted = int(model(start[None]).argmax())
        point, at = start.clone(), -1
        for iteration in range(max_steps):
            point = point.detach().requires_grad_()
            log_probability = torch.log_softmax(model(point[None])[0], 0)[predicted]
            (gradient,) = torch.autograd.grad(log_probability, point)
            moved = point.detach() - step * gradient.sign() + noise * etas[iteration][i]
            point = start + (moved - start).clamp(-radius, radius)
            if int(model(point[None]).argmax()) != predicted:
                at = iteration + 1
                break
        found.append(at)
    return found

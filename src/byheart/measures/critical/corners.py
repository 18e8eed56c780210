"""Points of a box that a linear network could not beat, tried before any search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from byheart.measures.critical.lass import Box

ROUNDS = 2
"""Corners to try, each from the corner before: a third finds next to nothing."""


def corners(
    model: nn.Module, x: Tensor, predicted: Tensor, box: Box, *, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Try the corner of each box that is best against the strongest rival of the predicted class.

    Formula: x~ <- the corner of the box around x that minimises <grad_x~ (z_k - z_j)(x~), .> for
    the predicted class k and the rival j = argmax_{j != k} z_j(x~), from x~ = x on. Where the
    network is linear in the box and no other rival matters, the first corner decides.

    Args:
        model: in eval mode.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        box: around each.
        start: [N, *shape] the first corners, if they are known.

    Returns:
        bool [N], another class is predicted at the corner; [N, *shape] that corner, else x.

    Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015), section 4, for
    one step; Carlini and Wagner (2017), section V, for the margin in place of the loss.
    """
    found, witness = torch.zeros_like(predicted, dtype=torch.bool), x.clone()
    rows = torch.arange(len(x), device=x.device)

    def left(at: Tensor) -> Tensor:
        """Keep the points of another class, and return where the others are among them."""
        with torch.no_grad():
            flipped: Tensor = model(at.clone()).argmax(1) != predicted[rows]
        found[rows[flipped]], witness[rows[flipped]] = True, at[flipped]
        return (~flipped).nonzero().squeeze(1)

    at = x if start is None else start
    for number in range(ROUNDS):
        if number or start is None:
            slope = _slope(model, at, predicted[rows])
            at = torch.where(slope > 0, box.low[rows], box.high[rows])
        stay = left(at)
        rows, at = rows[stay], at[stay]
        if not len(rows):
            break
    return found, witness


def _slope(model: nn.Module, at: Tensor, predicted: Tensor) -> Tensor:
    """Return the gradient of the margin to the strongest rival."""
    own = predicted.unsqueeze(1)
    with torch.enable_grad():
        point = at.detach().requires_grad_()
        logits = model(point)
        rival = logits.detach().scatter(1, own, float("-inf")).argmax(1, keepdim=True)
        margin = logits.gather(1, own) - logits.gather(1, rival)
        slope: Tensor = torch.autograd.grad(margin.sum(), point)[0]
    return slope

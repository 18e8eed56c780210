"""Points of a box that a linear network could not beat, tried before any search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from byheart.measures.critical.lass import Box

ROUNDS = 3
"""How often a corner is taken from the corner before: more find next to nothing."""


def corners(
    model: nn.Module, x: Tensor, predicted: Tensor, radius: float, rounds: int = ROUNDS
) -> tuple[Tensor, Tensor]:
    r"""Try the corner of each box that is best against the strongest rival of the predicted class.

    Formula: x~ <- the corner of the box around x that minimises <grad_x~ (z_k - z_j)(x~), .> for
    the predicted class k and the rival j = argmax_{j != k} z_j(x~), from x~ = x on. Where the
    network is linear in the box and no other rival matters, the first corner decides.

    Args:
        model: in eval mode.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        radius: r, in the unit of x.
        rounds: how many corners to try.

    Returns:
        bool [N], another class is predicted at the corner; [N, *shape] that corner, else x.

    Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015), section 4, for
    one step; Carlini and Wagner (2017), section V, for the margin in place of the loss.
    """
    found, witness = torch.zeros_like(predicted, dtype=torch.bool), x.clone()
    rows = torch.arange(len(x), device=x.device)
    box, at = Box.around(x, radius), x
    for number in range(rounds + 1):
        with torch.enable_grad():
            point = at.detach().requires_grad_(number < rounds)
            logits = model(point)
            own = predicted[rows].unsqueeze(1)
            rival = logits.detach().scatter(1, own, float("-inf")).argmax(1, keepdim=True)
            margin = (logits.gather(1, own) - logits.gather(1, rival)).sum()
        flipped = logits.detach().argmax(1) != own.squeeze(1)
        found[rows[flipped]], witness[rows[flipped]] = True, at[flipped]
        if number == rounds or bool(flipped.all()):
            break
        (slope,) = torch.autograd.grad(margin, point)
        rows, slope = rows[~flipped], slope[~flipped]
        at = torch.where(slope > 0, box.low[rows], box.high[rows])
    return found, witness

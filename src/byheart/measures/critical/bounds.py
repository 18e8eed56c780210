"""Bounds on what a network can return: intervals forward, linear relaxation backward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.measures.critical.affine import Affine, Reach, dot
from byheart.measures.critical.arithmetic import DOUBLE, SPARE, gamma
from byheart.measures.critical.layers import Step
from byheart.measures.critical.relaxations import Relu

INF = float("inf")
MOST_TIGHTENED = 2048
"""A layer with more undecided units than this keeps its interval bounds."""


def box_around(x: Tensor, radius: float) -> Reach:
    """Return the box ||x^ - x||_inf <= radius in float64, rounded outward."""
    centre = x.double()
    end = torch.full_like(centre, INF)
    return Reach(torch.nextafter(centre - radius, -end), torch.nextafter(centre + radius, end))


def interval_bounds(steps: Sequence[Step], box: Reach) -> list[Reach]:
    """Return where the values can be before each step and after the last.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), section 3.
    """
    reaches = [box]
    for step in steps:
        reaches.append(step.interval(reaches[-1]))
    return reaches


def lower_bounds(steps: Sequence[Step], reaches: Sequence[Reach], coefficients: Tensor) -> Tensor:
    r"""Return lower bounds of linear functions of a network's output, by backward relaxation.

    Formula: A f(x^) >= A' x^ + c >= A' m - |A'| h + c on the box with centre m and half-width h,
    where each step, last to first, exchanges its outputs for linear bounds in its inputs.

    Args:
        steps: of the network.
        reaches: where values can be before each step.
        coefficients: A, [batch, bounds, *output].

    Returns:
        [batch, bounds].

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation
    Functions (2018), section 3.2.
    """
    constant = coefficients.new_zeros(coefficients.shape[:2])
    for step, reach in zip(reversed(steps), reversed(reaches[: len(steps)]), strict=True):
        coefficients, added = step.back(coefficients, reach)
        constant = constant + added
    box = reaches[0]
    centre, half = (box.low + box.high) / 2, (box.high - box.low) / 2
    rounding = gamma(centre[0].numel() + SPARE, DOUBLE) * (centre.abs() + half)
    return constant + dot(coefficients, centre) - dot(coefficients.abs(), half + rounding)


def tightened_bounds(steps: Sequence[Step], box: Reach, elements: int) -> list[Reach]:
    """Return :func:`interval_bounds`, with backward relaxation for every undecided ReLU.

    Args:
        steps: of the network.
        box: of the inputs.
        elements: numbers that the coefficients of one pass may hold.
    """
    reaches = [box]
    for number, step in enumerate(steps):
        if gains(steps, number):
            reaches[-1] = _tighten(steps[:number], reaches, elements)
        reaches.append(step.interval(reaches[-1]))
    return reaches


def gains(steps: Sequence[Step], number: int) -> bool:
    """Return whether intervals lose something before this step that a relaxation can win back."""
    before = sum(isinstance(step, Affine) for step in steps[:number])
    return isinstance(steps[number], Relu) and before > 1


def _tighten(steps: Sequence[Step], reaches: Sequence[Reach], elements: int) -> Reach:
    last = reaches[-1]
    shape = last.low.shape[1:]
    low, high = last.low.flatten(1).clone(), last.high.flatten(1).clone()
    undecided = (low < 0) & (high > 0)
    most = int(undecided.sum(1).max())
    if not 0 < most <= MOST_TIGHTENED:
        return last
    units = torch.sort((~undecided).to(torch.uint8), dim=1, stable=True).indices[:, :most]
    widest = max(reach.low[0].numel() for reach in reaches)
    together = max(1, elements // (len(low) * widest))
    for part in torch.split(units, together, dim=1):
        picked = low.new_zeros(*part.shape, low.shape[1]).scatter_(2, part.unsqueeze(2), 1.0)
        picked = picked.reshape(*part.shape, *shape)
        above = lower_bounds(steps, reaches, picked)
        below = -lower_bounds(steps, reaches, -picked)
        # Rows with fewer undecided units are padded: no result may depend on the rest of a batch.
        padding = ~undecided.gather(1, part)
        above, below = above.masked_fill(padding, -INF), below.masked_fill(padding, INF)
        low.scatter_(1, part, torch.maximum(low.gather(1, part), above))
        high.scatter_(1, part, torch.minimum(high.gather(1, part), below))
    return Reach(low.reshape(-1, *shape), high.reshape(-1, *shape))

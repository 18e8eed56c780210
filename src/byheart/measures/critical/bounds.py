"""Bounds on what a network can return: intervals forward, linear relaxation backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from byheart.measures.critical.affine import Affine, Reach, dot
from byheart.measures.critical.arithmetic import DOUBLE, SPARE, gamma
from byheart.measures.critical.network import Node
from byheart.measures.critical.relaxations import Add, Relu

INF = float("inf")
MOST_TIGHTENED = 2048
"""A layer with more undecided units than this keeps its interval bounds."""
_SLACK = gamma(SPARE, DOUBLE)


@dataclass(frozen=True)
class Choice:
    """What a relaxation is free to choose: every choice is sound, some give better bounds.

    Attributes:
        slopes: alpha in [0, 1] of a ReLU's lower bound, by the number of its node, [batch, *shape].
        multipliers: beta of the constraints that a ReLU's input z has one sign, in the same way:
            >= 0 where z >= 0, <= 0 where z <= 0, and 0 where nothing is assumed.
    """

    slopes: Mapping[int, Tensor] = field(default_factory=dict)
    multipliers: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Relaxed:
    """A linear function of a network's output, exchanged for one of its input.

    Attributes:
        bound: [batch, bounds], its minimum on the box.
        slope: A', [batch, bounds, *input].
        above: coefficients of what a ReLU returns, by the number of its node.
    """

    bound: Tensor
    slope: Tensor
    above: Mapping[int, Tensor]


def box_around(x: Tensor, radius: float) -> Reach:
    """Return the box ||x^ - x||_inf <= radius in float64, rounded outward."""
    centre = x.double()
    half = radius + 2 * DOUBLE * (centre.abs() + radius)
    return Reach(centre - half, centre + half)


def interval_bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
    """Return where the values can be: the input, then what each node returns.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), section 3.
    """
    reaches = [box]
    for node in nodes:
        reaches.append(node.interval(reaches))
    return reaches


def lower_bounds(
    nodes: Sequence[Node],
    reaches: Sequence[Reach],
    coefficients: Tensor,
    choice: Choice | None = None,
) -> Relaxed:
    r"""Return lower bounds of linear functions of a network's output, by backward relaxation.

    Formula: A f(x^) >= A' x^ + c >= A' m - |A'| h + c on the box with centre m and half-width h,
    where each node, last to first, exchanges its output for linear bounds in its inputs. Where a
    ReLU's input z is assumed to be >= 0 (<= 0), -beta z with beta >= 0 (<= 0) is added: never
    positive where the assumption holds.

    Args:
        nodes: of the network.
        reaches: where the values can be: of the input and of what each node returns.
        coefficients: A, [batch, bounds, *output].
        choice: slopes and multipliers; slopes by the smaller area and no multipliers if None.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation
    Functions (2018), section 3.2; Wang et al., Beta-CROWN (2021), section 3.1.
    """
    choice = choice or Choice()
    constant = coefficients.new_zeros(coefficients.shape[:2])
    pending = {len(nodes): coefficients}
    above: dict[int, Tensor] = {}
    for number in reversed(range(len(nodes))):
        if number + 1 not in pending:
            continue
        node, output, part = nodes[number], reaches[number + 1], pending.pop(number + 1)
        source = node.inputs[0]
        if isinstance(node.step, Add):
            constant = constant + node.step.back(part, output)
        elif isinstance(node.step, Relu):
            above[number] = part
            part, added = node.step.back(part, reaches[source], output, choice.slopes.get(number))
            constant = constant + added
            if number in choice.multipliers:
                beta = choice.multipliers[number].unsqueeze(1)
                constant = constant - _SLACK * dot(beta.abs(), reaches[source].largest)
                part = part - beta
        else:
            part, added = node.step.back(part, reaches[source], output)
            constant = constant + added
        for value in node.inputs:
            if value in pending:  # two ways lead from here: their coefficients add up
                pending[value] = pending[value] + part
                rounding = _SLACK * dot(pending[value].abs(), reaches[value].largest)
                constant = constant - rounding
            else:
                pending[value] = part
    box, slope = reaches[0], pending[0]
    centre, half = (box.low + box.high) / 2, (box.high - box.low) / 2
    rounding = gamma(centre[0].numel() + SPARE, DOUBLE) * (centre.abs() + half)
    bound = constant + dot(slope, centre) - dot(slope.abs(), half + rounding)
    return Relaxed(bound, slope, above)


def tightened_bounds(nodes: Sequence[Node], box: Reach, elements: int) -> list[Reach]:
    """Return :func:`interval_bounds`, with backward relaxation for every undecided ReLU.

    Args:
        nodes: of the network.
        box: of the inputs.
        elements: numbers that the coefficients of one pass may hold.
    """
    reaches = [box]
    for number, node in enumerate(nodes):
        if gains(nodes, number):
            value = node.inputs[0]
            reaches[value] = _tighten(nodes[:value], reaches[: value + 1], elements)
        reaches.append(node.interval(reaches))
    return reaches


def gains(nodes: Sequence[Node], number: int) -> bool:
    """Return whether intervals lose something before this node that a relaxation can win back."""
    before = sum(isinstance(node.step, Affine) for node in nodes[:number])
    return isinstance(nodes[number].step, Relu) and before > 1


def _tighten(nodes: Sequence[Node], reaches: Sequence[Reach], elements: int) -> Reach:
    last = reaches[-1]
    shape = last.low.shape[1:]
    low, high = last.low.flatten(1).clone(), last.high.flatten(1).clone()
    undecided = (low < 0) & (high > 0)
    together = max(1, elements // max(reach.low[0].numel() for reach in reaches))
    # One example at a time: their undecided units differ, and so do the units that matter to them.
    for row in undecided.any(1).nonzero().squeeze(1):
        units = undecided[row].nonzero().squeeze(1)
        if len(units) > MOST_TIGHTENED:
            continue
        own = [reach.take(row.unsqueeze(0)) for reach in reaches]
        for part in torch.split(units, together):
            picked = low.new_zeros(1, len(part), low.shape[1])
            picked.scatter_(2, part.reshape(1, -1, 1), 1.0)
            picked = picked.reshape(1, len(part), *shape)
            above = lower_bounds(nodes, own, picked).bound[0]
            below = -lower_bounds(nodes, own, -picked).bound[0]
            low[row, part] = torch.maximum(low[row, part], above)
            high[row, part] = torch.minimum(high[row, part], below)
    return last.within(low.reshape(-1, *shape), high.reshape(-1, *shape))

"""Bounds on what a network can return: intervals forward, linear relaxation backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from byheart.measures.critical.arithmetic import SPARE, gamma, unit_of
from byheart.measures.critical.bends import Relu
from byheart.measures.critical.second_layer import SecondLayer
from byheart.measures.critical.steps import Add, Affine, Node, Reach, dot

PASSES_PER_UNIT = 4.0
"""Cost of bounding an undecided ReLU's input, in passes of one input through the network: back
from both sides, in float64."""
PASSES_PER_NORM = 0.3
"""The same in a second dense layer: one row through those units of the first that can be on."""
MOST_TIGHTENED = 2048
"""A layer with more undecided units than this keeps its interval bounds."""


@dataclass(frozen=True)
class RelaxationParameters:
    """Free parameters of a relaxation. Every value gives a valid bound; some give a tighter one.

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


def box_around(x: Tensor, radius: float, dtype: torch.dtype = torch.float64) -> Reach:
    """Return the box ||x^ - x||_inf <= radius in ``dtype``, which holds x, rounded outward."""
    centre = x.to(dtype)
    half = radius + 4 * unit_of(dtype) * (centre.abs() + radius)
    return Reach(centre - half, centre + half)


def interval_bounds(
    nodes: Sequence[Node], box: Reach, second: SecondLayer | None = None
) -> list[Reach]:
    """Return where the values can be: the input, then what each node returns.

    Args:
        nodes: nodes of the network.
        box: box of the inputs.
        second: of the network, if it begins with two dense layers; it bounds them better.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), section 3.
    """
    reaches = [box] if second is None else second.reaches(nodes, box)
    for node in nodes[len(reaches) - 1 :]:
        reaches.append(node.interval(reaches))
    return reaches


def lower_bounds(
    nodes: Sequence[Node],
    reaches: Sequence[Reach],
    coefficients: Tensor,
    choice: RelaxationParameters | None = None,
) -> Relaxed:
    r"""Return lower bounds of linear functions of a network's output, by backward relaxation.

    Formula: A f(x^) >= A' x^ + c >= A' m - |A'| h + c on the box with centre m and half-width h,
    where each node, last to first, exchanges its output for linear bounds in its inputs. Where a
    ReLU's input z is assumed to be >= 0 (<= 0), -beta z with beta >= 0 (<= 0) is added: never
    positive where the assumption holds.

    Args:
        nodes: nodes of the network.
        reaches: where the values can be: of the input and of what each node returns.
        coefficients: A, [batch, bounds, *output].
        choice: slopes and multipliers; slopes by the smaller area and no multipliers if None.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation
    Functions (2018), section 3.2; Wang et al., Beta-CROWN (2021), section 3.1.
    """
    choice = choice or RelaxationParameters()
    constant = coefficients.new_zeros(coefficients.shape[:2])
    unit = unit_of(coefficients.dtype)
    slack = gamma(SPARE, unit)
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
                constant = constant - slack * dot(beta.abs(), reaches[source].largest)
                part = part - beta
        else:
            part, added = node.step.back(part, reaches[source], output)
            constant = constant + added
        for value in node.inputs:
            if value in pending:  # two ways lead from here: their coefficients add up
                pending[value] = pending[value] + part
                rounding = slack * dot(pending[value].abs(), reaches[value].largest)
                constant = constant - rounding
            else:
                pending[value] = part
    box, slope = reaches[0], pending[0]
    centre, half = (box.low + box.high) / 2, (box.high - box.low) / 2
    rounding = gamma(slope.flatten(2).shape[2] + SPARE, unit) * (centre.abs() + half)
    bound = constant + dot(slope, centre) - dot(slope.abs(), half + rounding)
    return Relaxed(bound, slope, above)


def tightened_bounds(
    nodes: Sequence[Node],
    box: Reach,
    elements: int,
    second: SecondLayer | None = None,
    fast: SecondLayer | None = None,
) -> list[Reach]:
    """Return :func:`interval_bounds`, with backward relaxation for every undecided ReLU.

    Args:
        nodes: nodes of the network.
        box: box of the inputs.
        elements: numbers that the coefficients of one pass may hold.
        second: of the network, if it begins with two dense layers: bounds them for less.
        fast: computes the norms for it: the same in float32 where that holds.
    """
    reaches, done = [box], 0
    for number, node in enumerate(nodes):
        value = node.inputs[0]
        if relaxation_helps(nodes, number) and value != done:
            reaches[value] = _tighten(nodes[:value], reaches[: value + 1], elements)
        reach = node.interval(reaches)
        if second is not None and number == second.number:
            reach, done = second.exact(reaches, reach, elements, fast or second), number + 1
        reaches.append(reach)
    return reaches


def relaxation_helps(nodes: Sequence[Node], number: int) -> bool:
    """Return whether intervals lose something before this node that a relaxation can win back."""
    before = sum(isinstance(node.step, Affine) for node in nodes[:number])
    return isinstance(nodes[number].step, Relu) and before > 1


def _tighten(nodes: Sequence[Node], reaches: Sequence[Reach], elements: int) -> Reach:
    last = reaches[-1]
    shape = last.low.shape[1:]
    low, high = last.low.flatten(1).clone(), last.high.flatten(1).clone()
    undecided = (low < 0) & (high > 0)
    counts = undecided.sum(1)
    widest = max(reach.low[0].numel() for reach in reaches)
    # Samples with about as many undecided units go together: a row is padded to the longest.
    order = counts.argsort()
    order = order[(counts[order] > 0) & (counts[order] <= MOST_TIGHTENED)]
    while len(order):
        longest = int(counts[order[-1]])
        rows, order = _last(order, max(1, elements // (longest * widest)))
        parts = [reach.take(rows) for reach in reaches]
        units = torch.sort((~undecided[rows]).to(torch.uint8), dim=1, stable=True).indices
        for part in torch.split(units[:, :longest], max(1, elements // widest), dim=1):
            picked = low.new_zeros(len(rows), part.shape[1], low.shape[1])
            picked.scatter_(2, part.unsqueeze(2), 1.0)
            picked = picked.reshape(*part.shape, *shape)
            above = lower_bounds(nodes, parts, picked).bound
            below = -lower_bounds(nodes, parts, -picked).bound
            index = (rows.unsqueeze(1), part)
            wanted = undecided[index]
            low[index] = torch.where(wanted, torch.maximum(low[index], above), low[index])
            high[index] = torch.where(wanted, torch.minimum(high[index], below), high[index])
    return last.within(low.reshape(-1, *shape), high.reshape(-1, *shape))


def _last(order: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the last ``count`` of some numbers, and the others."""
    return order[-count:], order[:-count]


def tightening_passes(
    nodes: Sequence[Node], reaches: Sequence[Reach], second: SecondLayer | None
) -> Tensor:
    """Return what :func:`tightened_bounds` costs, in passes of one input, [batch] float64."""
    passes = torch.zeros(len(reaches[0].low), dtype=torch.float64, device=reaches[0].low.device)
    for number, node in enumerate(nodes):
        if relaxation_helps(nodes, number):
            reach = reaches[node.inputs[0]]
            dense = second is not None and node.inputs[0] == second.number + 1
            per_unit = PASSES_PER_NORM if dense else PASSES_PER_UNIT
            passes += per_unit * ((reach.low < 0) & (reach.high > 0)).flatten(1).sum(1)
    return passes

"""Branch and bound over the signs of undecided ReLUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byheart.measures.critical.affine import Reach
from byheart.measures.critical.bounds import Relaxed
from byheart.measures.critical.domains import Domains, Problem
from byheart.measures.critical.network import values

FIRST_ROUNDS = 20
"""Steps of the optimiser on whole boxes."""
ROUNDS = 5
"""The same on parts of boxes, which start from the choices of what they are a part of."""
PASSES_TO_BEGIN = 300
"""What a step of the optimiser costs, however few parts there are: it calls some hundred operators.
In passes of one input through the network: about 100 with 1024 units in a layer, 700 with 256."""
PASSES_PER_ROUND = 18
"""What a step costs for each part: three passes, each six times as dear as one of a search, with
its bounds, its small tensors and its proof in float64."""

Point = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(samples [D], points [D, *shape]) -> (points of their boxes, bool [D]: of another class)."""


@dataclass(frozen=True)
class Outcome:
    """What became of each sample.

    Attributes:
        proved: bool [N], no point of the box is of another class.
        broken: bool [N], some point is.
        witness: [N, *shape] that point, where there is one.
        passes: what it cost, in passes of one input through the network.
    """

    proved: Tensor
    broken: Tensor
    witness: Tensor
    passes: int

    @staticmethod
    def together(parts: Sequence[Outcome]) -> Outcome:
        """Return the outcomes of all parts."""
        return Outcome(
            torch.cat([part.proved for part in parts]),
            torch.cat([part.broken for part in parts]),
            torch.cat([part.witness for part in parts]),
            sum(part.passes for part in parts),
        )


def branch_and_bound(
    problem: Problem,
    domains: Domains,
    x: Tensor,
    point: Point,
    splits: int,
    together: int,
    purse: int | None = None,
) -> Outcome:
    r"""Prove or break samples by cutting their boxes until every part is settled.

    A box is cut where the input of one undecided ReLU changes sign; within a part this ReLU is
    linear, and a Lagrange multiplier for the sign tightens the bound. A sample is proved when the
    bound is positive on every part and for every class. In each part the point that minimises the
    relaxation is tried on the network itself: if it is of another class, the sample is broken. The
    ReLU to cut is the one whose relaxation is furthest from the ReLU at that point.

    Args:
        problem: the samples.
        domains: whole boxes, one for each class that is still open.
        x: [N, *shape] the samples.
        point: classifies points.
        splits: how many cuts to spend on a sample, over all its classes.
        together: domains in one pass.
        purse: passes of one input through the network to spend on all samples; on those with the
            fewest open parts first. No limit if None.

    Returns:
        The outcome; a sample of which no class is open is proved.

    Source: Bunel et al., Branch and Bound for Piecewise Linear Neural Network Verification (2020);
    Wang et al., Beta-CROWN (2021), section 3.
    """
    tree = _Tree(problem, x, point, splits, purse)
    rounds = FIRST_ROUNDS
    while len(domains := tree.affordable(domains, rounds)):
        parts = torch.split(torch.arange(len(domains), device=x.device), together)
        cut = Domains.together([tree.bound(domains.take(part), rounds) for part in parts])
        domains = tree.cut(cut)
        rounds = ROUNDS
    return Outcome(~(tree.broken | tree.given_up), tree.broken, tree.witness, tree.passes)


class _Tree:
    """The state of all samples while their boxes are cut."""

    def __init__(
        self, problem: Problem, x: Tensor, point: Point, splits: int, purse: int | None
    ) -> None:
        self.problem, self.point, self.purse, self.passes = problem, point, purse, 0
        self.left = torch.full((len(x),), splits, dtype=torch.int64, device=x.device)
        self.broken = torch.zeros_like(self.left, dtype=torch.bool)
        self.given_up = self.broken.clone()
        self.witness = x.clone()

    def affordable(self, domains: Domains, rounds: int) -> Domains:
        """Return the domains of the samples that the purse pays for, and give up the others."""
        each = rounds * PASSES_PER_ROUND
        if self.purse is not None:
            count = torch.bincount(domains.sample, minlength=len(self.left))
            order = count.argsort(stable=True)
            left = self.purse - self.passes - rounds * PASSES_TO_BEGIN
            beyond = (count[order] > 0) & (count[order].cumsum(0) * each > left)
            self.given_up[order[beyond]] = True
            domains = domains.take(~self.given_up[domains.sample])
        if len(domains):
            self.passes += rounds * PASSES_TO_BEGIN + len(domains) * each
        return domains

    def bound(self, domains: Domains, rounds: int) -> Domains:
        """Return the domains that stay open, with better choices and the unit to cut."""
        reaches = self.problem.within(domains)
        domains = self.problem.improved(domains, reaches, rounds)
        found = self.problem.bounds(domains, reaches)
        bound = found.bound.squeeze(1)
        lowest = torch.where(found.slope.squeeze(1) > 0, reaches[0].low, reaches[0].high)
        point, other = self.point(domains.sample, lowest)
        self.witness[domains.sample[other]] = point[other]
        self.broken[domains.sample[other]] = True
        gaps, inside = self._gaps(domains, reaches, found, lowest)
        # Cutting closes gaps and nothing else: what rounding takes from the bound stays lost.
        hopeless = inside & ~(bound + gaps.clamp(min=0.0).sum(1) > 0)
        left = ~(bound > 0)
        self.given_up[domains.sample[left & hopeless]] = True
        most, unit = gaps.max(1)
        return replace(domains, unit=torch.where(most < 0, -1, unit)).take(left)

    def _gaps(
        self, domains: Domains, reaches: list[Reach], found: Relaxed, lowest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each undecided ReLU's relaxation loses at a point, and if it is inside.

        Returns:
            [D, units + 1] over all ReLUs, -1 where a ReLU is decided and at the end; bool [D], all
            assumptions hold.
        """
        at = values(self.problem.nodes, lowest)
        inside = torch.ones_like(domains.sample, dtype=torch.bool)
        gaps = []
        for number in self.problem.relus:
            value = self.problem.nodes[number].inputs[0]
            z, low, high = at[value], reaches[value].low, reaches[value].high
            mixed = (low < 0) & (high > 0)
            chord = high * (z - low) / torch.where(mixed, high - low, 1.0)
            above = found.above[number].squeeze(1)
            relaxed = torch.where(above > 0, domains.slopes[number].double() * z, chord)
            gap = (above * (z.clamp(min=0.0) - relaxed)).clamp(min=0.0)
            gaps.append(torch.where(mixed, gap, -1.0).flatten(1))
            inside &= (domains.signs[number] * z >= 0).flatten(1).all(1)
        gaps.append(torch.full_like(found.bound, -1.0))
        return torch.cat(gaps, 1), inside

    def cut(self, domains: Domains) -> Domains:
        """Return both parts of each domain, without samples that are settled or out of splits."""
        domains = domains.take(~(self.broken | self.given_up)[domains.sample])
        wanted = torch.bincount(domains.sample, minlength=len(self.left))
        self.given_up |= wanted > self.left
        self.left -= wanted
        domains = domains.take(~self.given_up[domains.sample])
        # Where nothing is left to cut, a domain is tried again: its multipliers may improve.
        whole = domains.unit < 0
        parts = domains.take(~whole)
        return Domains.together([domains.take(whole), parts.cut(1.0), parts.cut(-1.0)])

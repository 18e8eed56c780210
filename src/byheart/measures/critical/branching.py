"""Optimised slopes, and branch and bound over the signs of undecided ReLUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from byheart.measures.critical.bends import Relu
from byheart.measures.critical.bounds import RelaxationParameters, Relaxed, lower_bounds
from byheart.measures.critical.steps import Node, Reach, values

ROOT_STEPS = 20
"""Steps of the optimiser on whole boxes."""
LATER_STEPS = 5
"""Steps on parts of boxes, which start from the choices of their parents."""
PASSES_PER_STEP = 300
"""Fixed cost of a step of the optimiser, which calls some hundred operators. It is counted
in passes of one input through the network: about 100 with 1024 units in a layer, 700 with 256."""
PASSES_PER_PART = 18
"""Cost of a step for each part: three passes, each six times as costly as one of a search, with
its bounds, its small tensors and its proof in float64."""
RATE = 0.3
"""Learning rate of Adam; for multipliers in units of their layer's largest coefficient."""
BETAS = (0.5, 0.9)
"""Betas of Adam: the averages are short, since there are few steps."""
DECAY = 0.95
"""Factor of the learning rate from one step to the next."""

Classify = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(samples [D], points [D, *shape]) -> (points of their boxes, bool [D]: of another class)."""


@dataclass(frozen=True)
class Certificate:
    """Which samples are proved not critical.

    Attributes:
        certified: bool [N], no point of the box changes the predicted class.
        refuted: bool [N], refuted: ``witness`` changes the class.
        witness: [N, *shape] counterexamples in the box; the input itself where not ``refuted``.
        passes: cost of slopes and splits, in forward passes of one input.
        uncertified_layer: name of the first unsupported layer; then nothing is certified. None if
            all layers are supported.
    """

    certified: Tensor
    refuted: Tensor
    witness: Tensor
    passes: int = 0
    uncertified_layer: str | None = None

    @classmethod
    def nothing(cls, x: Tensor, uncertified_layer: str | None = None) -> Certificate:
        """Return masks in which no input x is certified or refuted."""
        none = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        return cls(none, none.clone(), x, uncertified_layer=uncertified_layer)

    @classmethod
    def together(cls, parts: Sequence[Certificate], x: Tensor) -> Certificate:
        """Return the results of all parts; those of no input if there are none."""
        if not parts:
            return cls.nothing(x[:0])
        return cls(
            torch.cat([part.certified for part in parts]),
            torch.cat([part.refuted for part in parts]),
            torch.cat([part.witness for part in parts]),
            sum(part.passes for part in parts),
        )


@dataclass(frozen=True)
class Domains:
    """Parts of boxes, each with one competing class, and a relaxation's choices for them.

    Attributes:
        sample: [D] int64, whose box.
        target: [D] int64, the class whose margin is bounded.
        unit: [D] int64, which ReLU to cut next, counted through all of them; -1 if none.
        signs: [D, units]: 1 where a ReLU's input is assumed to be >= 0, -1 where <= 0, and 0 where
            nothing is assumed.
        slopes: [D, units], alpha in [0, 1].
        multipliers: [D, units], |beta|.
    """

    sample: Tensor
    target: Tensor
    unit: Tensor
    signs: Tensor
    slopes: Tensor
    multipliers: Tensor

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, index: Tensor) -> Domains:
        """Return some of the domains."""
        return Domains(*(value[index] for value in vars(self).values()))

    @staticmethod
    def together(parts: Sequence[Domains]) -> Domains:
        """Return the domains of all parts."""
        return Domains(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))

    def cut(self, sign: float) -> Domains:
        """Return the domains with one more sign assumed, that of each domain's ``unit``."""
        return replace(self, signs=self.signs.scatter(1, self.unit.unsqueeze(1), sign))


@dataclass(frozen=True)
class Problem:
    """What is known of the samples whose boxes are cut.

    Attributes:
        nodes: nodes of the network, in float64.
        fast: the same in the optimiser's format.
        reaches: bounds of every value on the whole box of each sample, in float64.
        predicted: [N] int64, the class predicted at each sample.
    """

    nodes: Sequence[Node]
    fast: Sequence[Node]
    reaches: Sequence[Reach]
    predicted: Tensor

    @cached_property
    def relus(self) -> list[int]:
        """The numbers of the ReLUs' nodes."""
        return [number for number, node in enumerate(self.nodes) if isinstance(node.step, Relu)]

    def by_relu(self, units: Tensor) -> dict[int, Tensor]:
        """Return [D, units] by the number of a ReLU's node, each [D, *shape]."""
        shapes = [self.reaches[self.nodes[n].inputs[0]].low.shape[1:] for n in self.relus]
        parts = torch.split(units, [shape.numel() for shape in shapes], 1)
        return {
            number: part.reshape(-1, *shape)
            for number, part, shape in zip(self.relus, parts, shapes, strict=True)
        }

    def whole(self, sample: Tensor, target: Tensor) -> Domains:
        """Return the uncut boxes of some samples, each against one class."""
        inputs = [self.reaches[self.nodes[number].inputs[0]].take(sample) for number in self.relus]
        smaller = [(reach.high > -reach.low).float().flatten(1) for reach in inputs]
        slopes = torch.cat(smaller or [self.reaches[0].low.new_zeros(len(sample), 0).float()], 1)
        nothing = torch.zeros_like(slopes)
        return Domains(sample, target, torch.zeros_like(sample), nothing, slopes, nothing)

    def choice(self, domains: Domains, dtype: torch.dtype) -> RelaxationParameters:
        """Return what the relaxation shall choose, sound whatever an optimiser did."""
        signed = domains.multipliers.to(dtype).clamp(min=0.0) * domains.signs.to(dtype)
        return RelaxationParameters(
            self.by_relu(domains.slopes.to(dtype).clamp(0.0, 1.0)), self.by_relu(signed)
        )

    def rows(self, domains: Domains, dtype: torch.dtype) -> Tensor:
        """Return the margin's coefficients, [D, 1, classes]."""
        low = self.reaches[-1].low
        rows = torch.zeros(len(domains), low.shape[1], dtype=dtype, device=low.device)
        rows.scatter_(1, self.predicted[domains.sample].unsqueeze(1), 1.0)
        return rows.scatter_(1, domains.target.unsqueeze(1), -1.0).unsqueeze(1)

    def within(self, domains: Domains) -> list[Reach]:
        """Return where the values can be on each domain."""
        reaches = [reach.take(domains.sample) for reach in self.reaches]
        for number, sign in self.by_relu(domains.signs).items():
            value = self.nodes[number].inputs[0]
            reach = reaches[value]
            low = torch.where(sign > 0, reach.low.clamp(min=0.0), reach.low)
            high = torch.where(sign < 0, reach.high.clamp(max=0.0), reach.high)
            reaches[value] = reach.within(low, high)
        return reaches

    def bounds(self, domains: Domains, reaches: Sequence[Reach]) -> Relaxed:
        """Return the proven lower bounds of the margins, with the domains' own choices."""
        rows = self.rows(domains, torch.float64)
        return lower_bounds(self.nodes, reaches, rows, self.choice(domains, torch.float64))

    def margins(self, rows: Tensor, targets: Tensor) -> Relaxed:
        """Return the relaxation of the margins of some samples, with bounds [n, targets].

        Args:
            rows: [n] samples, ascending.
            targets: [n, targets] classes; what is returned for the predicted one says nothing.
        """
        everyone = len(rows) == len(self.predicted)
        reaches = self.reaches if everyone else [reach.take(rows) for reach in self.reaches]
        coefficients = reaches[-1].low.new_zeros(*targets.shape, reaches[-1].low.shape[1])
        predicted = self.predicted[rows].reshape(-1, 1, 1).expand(-1, targets.shape[1], 1)
        coefficients.scatter_(2, predicted, 1.0)
        coefficients.scatter_(2, targets.unsqueeze(2), -1.0)
        return lower_bounds(self.nodes, reaches, coefficients)

    def improved(self, domains: Domains, reaches: Sequence[Reach], steps: int) -> Domains:
        """Return the domains with better slopes and multipliers, by gradient ascent on the bound.

        Neither soundness nor rounding matters here: :meth:`bounds` computes what is claimed.
        """
        if not domains.slopes.shape[1]:
            return domains
        rough = [Reach(reach.low.float(), reach.high.float()) for reach in reaches]
        rows = self.rows(domains, torch.float32)
        scale = self._scale(domains, rough, rows)
        slopes = domains.slopes.clone().requires_grad_()
        multipliers = (domains.multipliers / scale).requires_grad_()
        optimiser = torch.optim.Adam([slopes, multipliers], RATE, BETAS, maximize=True)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, DECAY)
        for _ in range(steps):
            optimiser.zero_grad()
            with torch.enable_grad():
                tried = replace(domains, slopes=slopes, multipliers=multipliers * scale)
                choice = self.choice(tried, torch.float32)
                bounds = lower_bounds(self.fast, rough, rows, choice).bound
            torch.autograd.backward(bounds, torch.ones_like(bounds))
            optimiser.step()
            schedule.step()
            slopes.data.clamp_(0.0, 1.0)
            multipliers.data.clamp_(min=0.0)
        return replace(domains, slopes=slopes.detach(), multipliers=multipliers.detach() * scale)

    def _scale(self, domains: Domains, rough: Sequence[Reach], rows: Tensor) -> Tensor:
        """Return a natural unit for the multipliers: each layer's largest coefficient."""
        if not bool(domains.signs.any()):
            return torch.ones_like(domains.signs)
        choice = self.choice(domains, torch.float32)
        above = lower_bounds(self.fast, rough, rows, choice).above
        flat = [above[number].detach().squeeze(1).flatten(1) for number in self.relus]
        largest = [part.abs().amax(1, keepdim=True).clamp(min=1e-12) for part in flat]
        return torch.cat([big.expand_as(part) for big, part in zip(largest, flat, strict=True)], 1)


def branch_and_bound(
    problem: Problem,
    domains: Domains,
    x: Tensor,
    classify: Classify,
    splits: int,
    together: int,
    budget: int | None = None,
) -> Certificate:
    r"""Prove or break samples by cutting their boxes until every part is settled.

    A box is cut where the input of one undecided ReLU changes sign; within a part this ReLU is
    linear, and a Lagrange multiplier for the sign tightens the bound. A sample is proved when the
    bound is positive on every part and for every class. In each part the point that minimises the
    relaxation is tried on the network itself: if it is of another class, the sample is refuted. The
    ReLU to cut is the one whose relaxation is furthest from the ReLU at that point.

    Args:
        problem: the samples.
        domains: whole boxes, one for each class that is still open.
        x: [N, *shape] the samples.
        classify: tries points on the network.
        splits: largest number of splits per sample, over all its classes.
        together: domains in one pass.
        budget: passes of one input through the network to spend on all samples; on those with the
            fewest open parts first. No limit if None.

    Returns:
        What is settled; a sample of which no class is open is certified.

    Source: Bunel et al., Branch and Bound for Piecewise Linear Neural Network Verification (2020);
    Wang et al., Beta-CROWN (2021), section 3.
    """
    tree = _Tree(problem, x, classify, splits, budget)
    steps = ROOT_STEPS
    while len(domains := tree.affordable(domains, steps)):
        parts = torch.split(torch.arange(len(domains), device=x.device), together)
        bounded = Domains.together([tree.bound(domains.take(part), steps) for part in parts])
        domains = tree.cut(bounded)
        steps = LATER_STEPS
    certified = ~(tree.refuted | tree.given_up)
    return Certificate(certified, tree.refuted, tree.witness, tree.passes)


class _Tree:
    """The state of all samples while their boxes are cut."""

    def __init__(
        self, problem: Problem, x: Tensor, classify: Classify, splits: int, budget: int | None
    ) -> None:
        self.problem, self.classify, self.budget, self.passes = problem, classify, budget, 0
        self.splits_left = torch.full((len(x),), splits, dtype=torch.int64, device=x.device)
        self.refuted = torch.zeros_like(self.splits_left, dtype=torch.bool)
        self.given_up = self.refuted.clone()
        self.witness = x.clone()

    def affordable(self, domains: Domains, steps: int) -> Domains:
        """Return the domains of the samples that the budget pays for, and give up the others."""
        per_domain = steps * PASSES_PER_PART
        if self.budget is not None:
            count = torch.bincount(domains.sample, minlength=len(self.splits_left))
            order = count.argsort(stable=True)
            left = self.budget - self.passes - steps * PASSES_PER_STEP
            beyond = (count[order] > 0) & (count[order].cumsum(0) * per_domain > left)
            self.given_up[order[beyond]] = True
            domains = domains.take(~self.given_up[domains.sample])
        if len(domains):
            self.passes += steps * PASSES_PER_STEP + len(domains) * per_domain
        return domains

    def bound(self, domains: Domains, steps: int) -> Domains:
        """Return the domains that stay open, with better choices and the unit to cut."""
        reaches = self.problem.within(domains)
        domains = self.problem.improved(domains, reaches, steps)
        relaxed = self.problem.bounds(domains, reaches)
        bound = relaxed.bound.squeeze(1)
        lowest = torch.where(relaxed.slope.squeeze(1) > 0, reaches[0].low, reaches[0].high)
        point, flipped = self.classify(domains.sample, lowest)
        self.witness[domains.sample[flipped]] = point[flipped]
        self.refuted[domains.sample[flipped]] = True
        gaps, inside = self._gaps(domains, reaches, relaxed, lowest)
        # Cutting closes gaps and nothing else: what rounding takes from the bound stays lost.
        rounding_alone = inside & ~(bound + gaps.clamp(min=0.0).sum(1) > 0)
        still_open = ~(bound > 0)
        self.given_up[domains.sample[still_open & rounding_alone]] = True
        most, unit = gaps.max(1)
        return replace(domains, unit=torch.where(most < 0, -1, unit)).take(still_open)

    def _gaps(
        self, domains: Domains, reaches: list[Reach], relaxed: Relaxed, lowest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each undecided ReLU's relaxation loses at a point, and if it is inside.

        Returns:
            [D, units + 1] over all ReLUs, -1 where a ReLU is decided and at the end; bool [D], all
            assumptions hold.
        """
        at = values(self.problem.nodes, lowest)
        inside = torch.ones_like(domains.sample, dtype=torch.bool)
        signs, slopes = map(self.problem.by_relu, (domains.signs, domains.slopes))
        gaps = []
        for number in self.problem.relus:
            value = self.problem.nodes[number].inputs[0]
            z, low, high = at[value], reaches[value].low, reaches[value].high
            mixed = (low < 0) & (high > 0)
            chord = high * (z - low) / torch.where(mixed, high - low, 1.0)
            above = relaxed.above[number].squeeze(1)
            line = torch.where(above > 0, slopes[number].double() * z, chord)
            gap = (above * (z.clamp(min=0.0) - line)).clamp(min=0.0)
            gaps.append(torch.where(mixed, gap, -1.0).flatten(1))
            inside &= (signs[number] * z >= 0).flatten(1).all(1)
        gaps.append(torch.full_like(relaxed.bound, -1.0))
        return torch.cat(gaps, 1), inside

    def cut(self, domains: Domains) -> Domains:
        """Return both parts of each domain, without samples that are settled or out of splits."""
        domains = domains.take(~(self.refuted | self.given_up)[domains.sample])
        wanted = torch.bincount(domains.sample, minlength=len(self.splits_left))
        self.given_up |= wanted > self.splits_left
        self.splits_left -= wanted
        domains = domains.take(~self.given_up[domains.sample])
        # Where nothing is left to cut, a domain is tried again: its multipliers may improve.
        whole = domains.unit < 0
        parts = domains.take(~whole)
        return Domains.together([domains.take(whole), parts.cut(1.0), parts.cut(-1.0)])

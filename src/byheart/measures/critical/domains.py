"""Parts of boxes, cut where ReLUs change sign, and the best lower bounds found on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byheart.measures.critical.affine import Affine, Reach
from byheart.measures.critical.bounds import Choice, Relaxed, lower_bounds
from byheart.measures.critical.network import Node
from byheart.measures.critical.relaxations import Relu

RATE = 0.3
"""Of Adam, for slopes, and for multipliers in units of the largest coefficient of their layer."""
BETAS = (0.5, 0.9)
"""Of Adam: few steps are taken, so little is remembered."""
DECAY = 0.95
"""Of the rate, from one step to the next."""


@dataclass(frozen=True)
class Domains:
    """Parts of boxes, each with one competing class, and a relaxation's choices for them.

    Attributes:
        sample: [D] int64, whose box.
        target: [D] int64, the class whose margin is bounded.
        signs: by the number of a ReLU's node, [D, *shape]: 1 where its input is assumed to be
            >= 0, -1 where <= 0, and 0 where nothing is assumed.
        slopes: alpha in the same form, in [0, 1].
        multipliers: |beta| in the same form.
        unit: [D] int64, which to cut next, counted through all ReLUs; -1 if none can be cut.
    """

    sample: Tensor
    target: Tensor
    unit: Tensor
    signs: dict[int, Tensor]
    slopes: dict[int, Tensor]
    multipliers: dict[int, Tensor]

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, index: Tensor) -> Domains:
        """Return some of the domains."""
        return Domains(
            self.sample[index],
            self.target[index],
            self.unit[index],
            *(
                {number: value[index] for number, value in part.items()}
                for part in (self.signs, self.slopes, self.multipliers)
            ),
        )

    @staticmethod
    def together(parts: Sequence[Domains]) -> Domains:
        """Return the domains of all parts."""
        return Domains(
            torch.cat([part.sample for part in parts]),
            torch.cat([part.target for part in parts]),
            torch.cat([part.unit for part in parts]),
            *(
                {n: torch.cat([getattr(part, name)[n] for part in parts]) for n in parts[0].signs}
                for name in ("signs", "slopes", "multipliers")
            ),
        )

    def cut(self, sign: float) -> Domains:
        """Return the domains with one more sign assumed, that of each domain's ``unit``."""
        signs, start = {}, 0
        for number, before in self.signs.items():
            size = before.shape[1:].numel()
            units = torch.arange(start, start + size, device=before.device).reshape(
                before.shape[1:]
            )
            chosen = units == self.unit.reshape(-1, *[1] * (before.dim() - 1))
            signs[number] = torch.where(chosen, sign, before)
            start += size
        return replace(self, signs=signs)

    def choice(self, dtype: torch.dtype) -> Choice:
        """Return what the relaxation shall choose, sound whatever an optimiser did."""
        return Choice(
            {n: slope.to(dtype).clamp(0.0, 1.0) for n, slope in self.slopes.items()},
            {
                n: beta.to(dtype).clamp(min=0.0) * self.signs[n].to(dtype)
                for n, beta in self.multipliers.items()
            },
        )


@dataclass(frozen=True)
class Problem:
    """What is known of the samples whose boxes are cut.

    Attributes:
        nodes: of the network, in float64.
        fast: the same in the optimiser's format.
        reaches: of every value on the whole box of each sample, in float64.
        predicted: [N] int64, the class predicted at each sample.
    """

    nodes: Sequence[Node]
    fast: Sequence[Node]
    reaches: Sequence[Reach]
    predicted: Tensor

    @property
    def relus(self) -> list[int]:
        """Return the numbers of the ReLUs' nodes."""
        return [number for number, node in enumerate(self.nodes) if isinstance(node.step, Relu)]

    def whole(self, sample: Tensor, target: Tensor) -> Domains:
        """Return the uncut boxes of some samples, each against one class."""
        nothing, slopes = {}, {}
        for number in self.relus:
            reach = self.reaches[self.nodes[number].inputs[0]].take(sample)
            slopes[number] = (reach.high > -reach.low).float()
            nothing[number] = torch.zeros_like(slopes[number])
        return Domains(sample, target, torch.zeros_like(sample), nothing, slopes, dict(nothing))

    def rows(self, domains: Domains, dtype: torch.dtype) -> Tensor:
        """Return the margin's coefficients, [D, 1, classes]."""
        low = self.reaches[-1].low
        rows = torch.zeros(len(domains), low.shape[1], dtype=dtype, device=low.device)
        rows.scatter_(1, self.predicted[domains.sample].unsqueeze(1), 1.0)
        return rows.scatter_(1, domains.target.unsqueeze(1), -1.0).unsqueeze(1)

    def within(self, domains: Domains) -> list[Reach]:
        """Return where the values can be on each domain."""
        reaches = [reach.take(domains.sample) for reach in self.reaches]
        for number, sign in domains.signs.items():
            value = self.nodes[number].inputs[0]
            reach = reaches[value]
            low = torch.where(sign > 0, reach.low.clamp(min=0.0), reach.low)
            high = torch.where(sign < 0, reach.high.clamp(max=0.0), reach.high)
            reaches[value] = reach.within(low, high)
        return reaches

    def bounds(self, domains: Domains, reaches: Sequence[Reach]) -> Relaxed:
        """Return the proven lower bounds of the margins, with the domains' own choices."""
        rows = self.rows(domains, torch.float64)
        return lower_bounds(self.nodes, reaches, rows, domains.choice(torch.float64))

    def through_all(self, domains: Domains) -> Tensor:
        """Return proven lower bounds of the margins, [D]."""
        return self.bounds(domains, self.within(domains)).bound.squeeze(1)

    def through_last(self) -> Tensor:
        """Return lower bounds of all margins from where the last node's input can be, [N, classes].

        They are cheap, since samples of one predicted class share their coefficients.
        """
        node, last = self.nodes[-1], self.reaches[-1].low
        found = torch.full_like(last, float("-inf"))
        if not isinstance(node.step, Affine):
            return found
        for own in torch.unique(self.predicted):
            rows = (self.predicted == own).nonzero().squeeze(1)
            reaches = [self.reaches[value].take(rows) for value in (node.inputs[0], -1)]
            coefficients = -torch.eye(last.shape[1], dtype=last.dtype, device=last.device)
            coefficients[:, own] += 1.0
            bounds = lower_bounds([Node(node.step, (0,))], reaches, coefficients.unsqueeze(0))
            found[rows] = bounds.bound
        return found

    def margins(self, rows: Tensor, targets: Tensor) -> Relaxed:
        """Return the relaxation of the margins of some samples, with bounds [n, targets].

        Args:
            rows: [n] samples, ascending.
            targets: [n, targets] classes; what is returned for the predicted one says nothing.
        """
        everyone = len(rows) == len(self.predicted)
        reaches = self.reaches if everyone else [reach.take(rows) for reach in self.reaches]
        coefficients = reaches[-1].low.new_zeros(*targets.shape, reaches[-1].low.shape[1])
        own = self.predicted[rows].reshape(-1, 1, 1).expand(-1, targets.shape[1], 1)
        coefficients.scatter_(2, own, 1.0)
        coefficients.scatter_(2, targets.unsqueeze(2), -1.0)
        return lower_bounds(self.nodes, reaches, coefficients)

    def improved(self, domains: Domains, reaches: Sequence[Reach], rounds: int) -> Domains:
        """Return the domains with better slopes and multipliers, by gradient ascent on the bound.

        Neither soundness nor rounding matters here: :meth:`bounds` computes what is claimed.
        """
        if not domains.slopes:
            return domains
        rough = [Reach(reach.low.float(), reach.high.float()) for reach in reaches]
        rows = self.rows(domains, torch.float32)
        scales = self._scales(domains, rough, rows)
        slopes = {n: slope.clone() for n, slope in domains.slopes.items()}
        multipliers = {n: domains.multipliers[n] / scale for n, scale in scales.items()}
        variables = [*slopes.values(), *multipliers.values()]
        optimiser = torch.optim.Adam(
            [variable.requires_grad_() for variable in variables], RATE, BETAS, maximize=True
        )
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, DECAY)

        def trial() -> Domains:
            scaled = {n: multipliers[n] * scale for n, scale in scales.items()}
            return replace(domains, slopes=slopes, multipliers={**domains.multipliers, **scaled})

        for _ in range(rounds):
            optimiser.zero_grad()
            with torch.enable_grad():
                choice = trial().choice(torch.float32)
                bounds = lower_bounds(self.fast, rough, rows, choice).bound
            torch.autograd.backward(bounds, torch.ones_like(bounds))
            optimiser.step()
            schedule.step()
            for slope in slopes.values():
                slope.data.clamp_(0.0, 1.0)
            for multiplier in multipliers.values():
                multiplier.data.clamp_(min=0.0)
        done = trial()
        return replace(
            done,
            slopes={n: slope.detach() for n, slope in done.slopes.items()},
            multipliers={n: beta.detach() for n, beta in done.multipliers.items()},
        )

    def _scales(self, domains: Domains, rough: Sequence[Reach], rows: Tensor) -> dict[int, Tensor]:
        """Return a natural unit for the multipliers of each ReLU that is cut somewhere."""
        cut = [n for n, signs in domains.signs.items() if bool(signs.any())]
        if not cut:
            return {}
        above = lower_bounds(self.fast, rough, rows, domains.choice(torch.float32)).above
        return {n: _largest(above[n]) for n in cut}


def _largest(above: Tensor) -> Tensor:
    """Return the largest coefficient of each domain, in a shape that broadcasts with a layer."""
    coefficients = above.detach().squeeze(1)
    largest = coefficients.abs().flatten(1).amax(1).clamp(min=1e-12)
    return largest.reshape(-1, *[1] * (coefficients.dim() - 1))

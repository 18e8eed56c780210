"""A network, prepared for proofs: bounds of many prices on the margins of many samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from byheart.measures.critical.affine import Reach
from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import (
    box_around,
    gains,
    interval_bounds,
    tightened_bounds,
    tightening,
)
from byheart.measures.critical.branching import Outcome, branch_and_bound
from byheart.measures.critical.domains import Problem
from byheart.measures.critical.lass import Box
from byheart.measures.critical.network import Node, values
from byheart.measures.critical.norms import Norms, Spectrum
from byheart.measures.critical.second_layer import SecondLayer, dense_layers
from byheart.measures.critical.single import FLOOR, single_is_sound
from byheart.measures.critical.tracing import nodes_of

ELEMENTS = 2**23
"""Numbers that one tensor of a pass may hold (64 MiB)."""
SPLITS = 100
"""Cuts to spend on a sample where its bracket shall be narrow."""
DIRECTIONS = 8
"""In which the second layer is bounded exactly where a cheaper bound has failed."""
GROUP = 32
"""Samples to settle together where it may end early."""
PAYS = 0.25
"""Of a group, what must be settled for the next to be tried."""
HOPELESS = 0.6
"""What no bound wins back of what a relaxation loses, as far as we have seen."""
TINY = 1e-300


@dataclass(frozen=True)
class Samples:
    """What is to be proved.

    Attributes:
        x: [N, *shape] the inputs.
        predicted: [N] int64, the class predicted at each.
        rival: [N] int64, the class that comes closest.
        margin: [N] by how much it is behind.
    """

    x: Tensor
    predicted: Tensor
    rival: Tensor
    margin: Tensor

    @classmethod
    def of(cls, x: Tensor, predicted: Tensor, logits: Tensor) -> Samples:
        """Return samples with the logits [N, classes] that the network has for them."""
        own = predicted.unsqueeze(1)
        others = logits.scatter(1, own, float("-inf")).max(1)
        margin = logits.gather(1, own).squeeze(1) - others.values
        return cls(x, predicted, others.indices, margin.double())

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor | slice) -> Samples:
        """Return some of them."""
        return Samples(self.x[rows], self.predicted[rows], self.rival[rows], self.margin[rows])


class Glance(NamedTuple):
    """What the cheap bounds say of some samples.

    Attributes:
        proved: bool [N], no point of the box is of another class.
        lacking: [N], the share of what the relaxation loses that would have to be won back for a
            proof: above 0 where nothing is proved, and 1 on the edge between two classes.
        passes: [N], what bounding the inputs of undecided ReLUs by relaxation would cost, in passes
            of one input through the network.
        slope: [N, *shape], of the relaxed margin to the rival; 0 where it was ruled out before.
    """

    proved: Tensor
    lacking: Tensor
    passes: Tensor
    slope: Tensor


@dataclass(frozen=True, eq=False)
class Prover:
    """A network, prepared for proofs: the cheap bounds first, then the dear ones.

    Attributes:
        model: in eval mode.
        nodes: of the network, in float64.
        fast: the same in float32.
        radius: of the boxes.
        single: whether what float32 proves, with its own rounding, holds.
        widest: numbers in the network's largest value.
    """

    model: nn.Module
    nodes: Sequence[Node]
    fast: Sequence[Node]
    radius: float
    single: bool
    widest: int

    @classmethod
    def of(cls, model: nn.Module, x: Tensor, radius: float) -> Prover:
        """Prepare for inputs like ``x``.

        Raises:
            UnknownLayerError: there is a layer that no bound can travel through.
        """
        arithmetic = Arithmetic.of(model, x)
        nodes, fast = (
            nodes_of(model, x, arithmetic, dtype) for dtype in (torch.float64, torch.float32)
        )
        widest = max(value[0].numel() for value in values(nodes, x[:1].double()))
        single = single_is_sound(nodes, fast, x, radius)
        return cls(model, nodes, fast, radius, single, widest)

    def glance(self, samples: Samples) -> Glance:
        """Try one relaxation over intervals."""
        return self._cheap(samples, self._rough)

    def look(self, samples: Samples) -> Glance:
        """Try the same with a closer look at how the first two layers meet, if they are dense."""
        return self._cheap(samples, self._fine)

    def settle(self, samples: Samples, splits: int, purse: int | None = None) -> Outcome:
        """Settle what bounds of every undecided ReLU, better slopes and cuts can settle.

        Args:
            samples: what is to be proved.
            splits: cuts to spend on a sample.
            purse: passes of one input through the network to spend on slopes and cuts of all of
                them; no limit if None. With a purse, samples that lack least must come first, and
                it ends with the first group of which too few could be settled.

        Returns:
            The outcome of the first samples, as far as it went.
        """
        tight = any(gains(self.nodes, number) for number in range(len(self.nodes)))
        second = self._second(self._rough, torch.float64)
        fast = self._second(self._rough, torch.float32) if self.single else second

        def bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
            meeting = (second, fast) if second is not None and fast is not None else None
            return tightened_bounds(nodes, box, ELEMENTS, meeting)

        parts = []
        together = self._together(64 if tight else 8)
        groups = together if purse is None else min(together, GROUP)
        for problem, own in self._problems(samples, groups, bounds):
            whole = problem.whole(*self._open(problem).nonzero(as_tuple=True))
            point = _Points(self.model, Box.around(own.x, self.radius), own.predicted)
            found = branch_and_bound(problem, whole, own.x, point, splits, self._together(8), purse)
            parts.append(found)
            if purse is not None:
                purse -= found.passes
                if int((found.proved | found.broken).sum()) < PAYS * len(own):
                    break
        nothing = torch.zeros_like(samples.predicted, dtype=torch.bool)
        return Outcome.together(parts) if parts else Outcome(nothing, nothing, samples.x, 0)

    def _cheap(self, samples: Samples, norms: Norms | None) -> Glance:
        # What single precision proves, with its own rounding, need not be proved in double.
        dtype = torch.float32 if self.single else torch.float64
        second, parts = self._second(norms, dtype), []
        for problem, own in self._problems(
            samples,
            self._together(8),
            lambda nodes, box: interval_bounds(nodes, box, second),
            dtype,
        ):
            found = self._left_by_last(problem)
            lacking, slope = self._rival(problem, own, found)
            passes = tightening(problem.nodes, problem.reaches, second)
            parts.append((~found.any(1), lacking, passes, slope))
        if not parts:
            return Glance(samples.predicted > 0, samples.margin, samples.margin, samples.x)
        return Glance(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _second(self, norms: Norms | None, dtype: torch.dtype) -> SecondLayer | None:
        nodes = self.nodes if dtype is torch.float64 else self.fast
        return None if norms is None else SecondLayer.of(nodes, norms)

    @cached_property
    def _rough(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(0)

    @cached_property
    def _fine(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(DIRECTIONS)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        layers = dense_layers(self.nodes)
        weight = layers[0].weight if layers else None
        return None if weight is None else Spectrum.of(weight, DIRECTIONS)

    def _problems(
        self,
        samples: Samples,
        together: int,
        bounds: Callable[[Sequence[Node], Reach], list[Reach]],
        dtype: torch.dtype = torch.float64,
    ) -> Iterator[tuple[Problem, Samples]]:
        nodes = self.nodes if dtype is torch.float64 else self.fast
        for start in range(0, len(samples), together):
            part = samples.take(slice(start, start + together))
            reaches = bounds(nodes, box_around(part.x, self.radius, dtype))
            yield Problem(nodes, self.fast, reaches, part.predicted), part

    def _open(self, problem: Problem) -> Tensor:
        """Return which classes no bound rules out, bool [N, classes]."""
        found = self._left_by_last(problem)
        self._rule_out(problem, found, found.clone())
        return found

    def _left_by_last(self, problem: Problem) -> Tensor:
        """Return which classes the last layer leaves open, bool [N, classes]."""
        last, own = problem.reaches[-1], problem.predicted.unsqueeze(1)
        found = ~(last.low.gather(1, own) - last.high > _least(problem))
        found.scatter_(1, own, False)
        return found & ~(problem.through_last() > _least(problem))

    def _rival(self, problem: Problem, samples: Samples, found: Tensor) -> tuple[Tensor, Tensor]:
        """Rule out what one relaxation can: the rival, and others only where it is ruled out.

        Returns:
            ``lacking`` and ``slope``, as in :class:`Glance`.
        """
        low = problem.reaches[0].low
        lacking, slope = samples.margin.new_zeros(len(samples)), torch.zeros_like(low)
        rows = found.any(1).nonzero().squeeze(1)
        wanted = found.clone()
        if len(rows):
            rival = samples.rival[rows]
            relaxed = problem.margins(rows, rival.unsqueeze(1))
            bound = relaxed.bound.squeeze(1)
            found[rows, rival] &= ~(bound > _least(problem))
            short = -bound.double()
            lacking[rows] = short / (samples.margin[rows] + short).clamp(min=TINY)
            slope[rows] = relaxed.slope.squeeze(1)
            wanted[rows] &= ~found[rows, rival].unsqueeze(1)
        self._rule_out(problem, found, wanted)
        return lacking, slope

    def _rule_out(self, problem: Problem, found: Tensor, wanted: Tensor) -> None:
        """Drop the wanted ones of the classes that a relaxation of the network rules out."""
        counts = wanted.sum(1)
        order = counts.argsort(stable=True)
        order = order[counts[order] > 0]
        while len(order):
            longest = int(counts[order[-1]])
            together = self._together(8 * longest)
            rows, order = order[-together:].sort().values, order[:-together]
            ranked = torch.sort((~wanted[rows]).to(torch.uint8), dim=1, stable=True).indices
            targets = ranked[:, :longest]
            bound = problem.margins(rows, targets).bound
            found[rows.unsqueeze(1), targets] &= ~(bound > _least(problem))

    def _together(self, tensors: int) -> int:
        """Return how many rows to treat together, if as many tensors are held for each."""
        return max(1, ELEMENTS // (tensors * self.widest))


def _least(problem: Problem) -> float:
    """Return what a margin's bound must exceed to prove something."""
    return 0.0 if problem.reaches[-1].low.dtype is torch.float64 else FLOOR


@dataclass(frozen=True)
class _Points:
    """Tries points on the network as it is evaluated."""

    model: nn.Module
    box: Box
    predicted: Tensor

    def __call__(self, samples: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.box.low[samples], self.box.high[samples]
        inside = torch.minimum(torch.maximum(points.to(low.dtype), low), high)
        # A copy, since layers may work in place.
        return inside, self.model(inside.clone()).argmax(-1) != self.predicted[samples]

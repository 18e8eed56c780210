"""The proof that samples are not critical: bounds of rising cost on the margins of many samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import (
    box_around,
    interval_bounds,
    relaxation_helps,
    tightened_bounds,
    tightening_passes,
)
from byheart.measures.critical.branching import Certificate, Problem, branch_and_bound
from byheart.measures.critical.lass import Box
from byheart.measures.critical.second_layer import Norms, SecondLayer, Spectrum, dense_layers
from byheart.measures.critical.steps import Affine, Flatten, Node, Reach, Relu, values
from byheart.measures.critical.tracing import UnknownLayerError, nodes_of

ELEMENTS = 2**23
"""Numbers that one tensor of a pass may hold (64 MiB)."""
DIRECTIONS = 8
"""In which the second layer is bounded exactly where a cheaper bound has failed."""
GROUP_SIZE = 32
"""Samples to prove together where proving may end early."""
SHARE_TO_GO_ON = 0.25
"""Of a group, what must be settled for the next group to be tried."""
SMALLEST_MARGIN = 2.0**-40
"""A margin below this proves nothing in single precision: underflow may have made it."""
LARGEST_VALUE = 2.0**46
"""What weights may grow a number to. Fewer than 2^40 products lose 2^-126 each, so grown."""
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
        index = predicted.unsqueeze(1)
        rivals = logits.scatter(1, index, float("-inf")).max(1)
        margin = logits.gather(1, index).squeeze(1) - rivals.values
        return cls(x, predicted, rivals.indices, margin.double())

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor | slice) -> Samples:
        """Return some of them."""
        return Samples(*(value[rows] for value in vars(self).values()))


class CheapBounds(NamedTuple):
    """What the cheap bounds say of some samples.

    Attributes:
        certified: bool [N], no point of the box is of another class.
        missing: [N], the share of what the relaxation loses that would have to be won back for a
            proof: above 0 where nothing is proved, and 1 on the edge between two classes.
        passes: [N], what bounding the inputs of undecided ReLUs by relaxation would cost, in passes
            of one input through the network.
    """

    certified: Tensor
    missing: Tensor
    passes: Tensor


@torch.no_grad()
def certificate(
    model: nn.Module, x: Tensor, predicted: Tensor, radius: float, *, splits: int = 0
) -> Certificate:
    r"""Prove, where possible, that a box holds no point of another predicted class.

    Formula: x is certified if min_{j != k} min_{||x^ - x||_inf <= r} (z_k - z_j)(x^) > 0 holds for
    a lower bound of the left side, where k is the class predicted at x. A dearer bound is tried
    only where the cheaper failed, for the classes j that it left open: interval propagation, in
    the second of two dense layers with the spectrum of the first; backward linear relaxation over
    these intervals; the same with every undecided ReLU bounded by relaxation; optimised slopes;
    and branch and bound on undecided ReLUs, which may also find a point of another class.

    The bounds hold for the network as evaluated in its own floating-point format: every layer adds
    an error term (see :class:`byheart.measures.critical.steps.Affine`).

    Args:
        model: in eval mode; Linear, Conv2d, BatchNorm, ReLU, pooling, Flatten, Identity and Dropout
            layers and additions, in ``nn.Sequential`` or in modules that can be traced.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        radius: r, in the unit of x.
        splits: cuts that branch and bound may spend on a sample; with 0 it stops at slopes. A count
            and not a time, so that results do not depend on the machine.

    Returns:
        The masks, or the name of the layer that has no certificate.

    Raises:
        RuntimeError: from the model, if it does not take x. A layer without a certificate is no
            error: it is named in the result.

    Source: Zhang et al. (2018), CROWN; Xu et al. (2021), alpha-CROWN; Wang et al. (2021),
    beta-CROWN; Higham (2002), section 3.1, for rounding.
    """
    if not len(x):
        return Certificate.nothing(x)
    try:
        prover = Prover.of(model, x, radius)
    except UnknownLayerError as unknown:
        return Certificate.nothing(x, str(unknown))
    samples = Samples.of(x, predicted, model(x.clone()))
    certified = prover.cheap_bounds(samples).certified
    rows = (~certified).nonzero().squeeze(1)
    proof = prover.prove(samples.take(rows), splits)
    certified[rows] = proof.certified
    broken, witness = torch.zeros_like(certified), x.clone()
    broken[rows], witness[rows] = proof.broken, proof.witness
    return Certificate(certified, broken, witness, proof.passes)


@dataclass(frozen=True, eq=False)
class Prover:
    """A network, prepared for proofs.

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
            UnknownLayerError: there is a layer that no bound can travel through, or x lies on a
                device without float64.
        """
        if x.device.type == "mps":
            raise UnknownLayerError("the device mps, which has no float64")
        arithmetic = Arithmetic.of(model, x)
        nodes, fast = (
            nodes_of(model, x, arithmetic, dtype) for dtype in (torch.float64, torch.float32)
        )
        widest = max(value[0].numel() for value in values(nodes, x[:1].double()))
        single = single_is_sound(nodes, fast, x, radius)
        return cls(model, nodes, fast, radius, single, widest)

    def cheap_bounds(self, samples: Samples) -> CheapBounds:
        """Try one relaxation over intervals."""
        return self._cheap_bounds(samples, self._plain_norms)

    def closer_bounds(self, samples: Samples) -> CheapBounds:
        """Try the same, with the leading directions of the first of two dense layers."""
        return self._cheap_bounds(samples, self._close_norms)

    def prove(self, samples: Samples, splits: int, budget: int | None = None) -> Certificate:
        """Settle what bounds of every undecided ReLU, better slopes and cuts can settle.

        Args:
            samples: what is to be proved.
            splits: cuts to spend on a sample.
            budget: passes of one input through the network to spend on slopes and cuts of all of
                them; no limit if None. With a budget, samples that miss least must come first, and
                it ends with the first group of which too few could be settled.

        Returns:
            What became of the first samples, as far as it went.
        """
        deep = any(relaxation_helps(self.nodes, number) for number in range(len(self.nodes)))
        second = self._second_layer(self._plain_norms, torch.float64)
        fast = self._second_layer(self._plain_norms, torch.float32) if self.single else second

        def bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
            return tightened_bounds(nodes, box, ELEMENTS, second, fast)

        parts = []
        together = self._together(64 if deep else 8)
        group = together if budget is None else min(together, GROUP_SIZE)
        for problem, part in self._problems(samples, group, bounds):
            whole = problem.whole(*self._open_classes(problem).nonzero(as_tuple=True))
            classify = self._classifier(part)
            proof = branch_and_bound(
                problem, whole, part.x, classify, splits, self._together(8), budget
            )
            parts.append(proof)
            if budget is not None:
                budget -= proof.passes
                if int((proof.certified | proof.broken).sum()) < SHARE_TO_GO_ON * len(part):
                    break
        if not parts:
            return Certificate.nothing(samples.x)
        return Certificate(
            torch.cat([proof.certified for proof in parts]),
            torch.cat([proof.broken for proof in parts]),
            torch.cat([proof.witness for proof in parts]),
            sum(proof.passes for proof in parts),
        )

    def _classifier(self, samples: Samples) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what tries points of the samples' boxes on the network as it is evaluated."""
        box = Box.around(samples.x, self.radius)

        def classify(rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
            inside = box.take(rows).project(points.to(samples.x.dtype))
            # A copy, since layers may work in place.
            return inside, self.model(inside.clone()).argmax(-1) != samples.predicted[rows]

        return classify

    def _cheap_bounds(self, samples: Samples, norms: Norms | None) -> CheapBounds:
        # What single precision proves, with its own rounding, need not be proved in double.
        dtype = torch.float32 if self.single else torch.float64
        second, parts = self._second_layer(norms, dtype), []

        def bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
            return interval_bounds(nodes, box, second)

        for problem, part in self._problems(samples, self._together(8), bounds, dtype):
            left = self._left_by_intervals(problem)
            missing = self._bound_rival(problem, part, left)
            passes = tightening_passes(problem.nodes, problem.reaches, second)
            parts.append((~left.any(1), missing, passes))
        if not parts:
            return CheapBounds(samples.predicted > 0, samples.margin, samples.margin)
        return CheapBounds(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _second_layer(self, norms: Norms | None, dtype: torch.dtype) -> SecondLayer | None:
        nodes = self.nodes if dtype is torch.float64 else self.fast
        return None if norms is None else SecondLayer.of(nodes, norms)

    @cached_property
    def _plain_norms(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(0)

    @cached_property
    def _close_norms(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(DIRECTIONS)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        layers = dense_layers(self.nodes)
        weight = layers[1].weight if layers else None
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

    def _open_classes(self, problem: Problem) -> Tensor:
        """Return which classes no bound rules out, bool [N, classes]."""
        left = self._left_by_intervals(problem)
        self._rule_out(problem, left, left.clone())
        return left

    def _left_by_intervals(self, problem: Problem) -> Tensor:
        """Return which classes intervals of the logits leave open, bool [N, classes]."""
        last, index = problem.reaches[-1], problem.predicted.unsqueeze(1)
        left = ~(last.low.gather(1, index) - last.high > _least(problem))
        return left.scatter_(1, index, False)

    def _bound_rival(self, problem: Problem, samples: Samples, left: Tensor) -> Tensor:
        """Rule out what one relaxation can: the rival, and others only where it is ruled out.

        Returns:
            ``missing``, as in :class:`CheapBounds`.
        """
        missing = samples.margin.new_zeros(len(samples))
        rows = left.any(1).nonzero().squeeze(1)
        wanted = left.clone()
        if len(rows):
            rival = samples.rival[rows]
            bound = problem.margins(rows, rival.unsqueeze(1)).bound.squeeze(1)
            left[rows, rival] &= ~(bound > _least(problem))
            short = -bound.double()
            missing[rows] = short / (samples.margin[rows] + short).clamp(min=TINY)
            wanted[rows] &= ~left[rows, rival].unsqueeze(1)
        self._rule_out(problem, left, wanted)
        return missing

    def _rule_out(self, problem: Problem, left: Tensor, wanted: Tensor) -> None:
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
            left[rows.unsqueeze(1), targets] &= ~(bound > _least(problem))

    def _together(self, tensors: int) -> int:
        """Return how many rows to treat together, if as many tensors are held for each."""
        return max(1, ELEMENTS // (tensors * self.widest))


def single_is_sound(nodes: Sequence[Node], fast: Sequence[Node], x: Tensor, radius: float) -> bool:
    """Return whether bounds in single precision, with their own rounding, hold for a network.

    They do for dense layers whose weights are numbers of single precision, on a CPU that computes
    in it, and for numbers so far from underflow that :data:`SMALLEST_MARGIN` covers what it takes.

    Args:
        nodes: of the network in float64.
        fast: the same in float32.
        x: inputs.
        radius: of the boxes around them.
    """
    if x.dtype is not torch.float32 or x.device.type != "cpu":
        return False
    size = 1.0 + float(x.abs().max()) + radius
    for node, fast_node in zip(nodes, fast, strict=True):
        exact, rough = node.step, fast_node.step
        if isinstance(exact, Affine) and isinstance(rough, Affine):
            if exact.weight is None or rough.weight is None:
                return False
            same = torch.equal(exact.weight, rough.weight.double())
            if not same or exact.arithmetic.unit != torch.finfo(torch.float32).eps / 2:
                return False
            sums = exact.weight.abs()
            size *= 1.0 + float(torch.maximum(sums.sum(0).max(), sums.sum(1).max()))
            size += float(exact.offset.max())
        elif not isinstance(exact, Relu | Flatten):
            return False
    return size < LARGEST_VALUE


def _least(problem: Problem) -> float:
    """Return what a margin's bound must exceed to prove something."""
    return 0.0 if problem.reaches[-1].low.dtype is torch.float64 else SMALLEST_MARGIN

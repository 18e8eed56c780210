"""Prove that no nearby input changes the predicted class, by bounds of rising cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bends import Relu
from byheart.measures.critical.bounds import (
    box_around,
    interval_bounds,
    relaxation_helps,
    tightened_bounds,
    tightening_passes,
)
from byheart.measures.critical.branching import Certificate, Problem, branch_and_bound
from byheart.measures.critical.deviations import Deviations
from byheart.measures.critical.lass import Box
from byheart.measures.critical.programs import Program
from byheart.measures.critical.second_layer import Norms, SecondLayer, Spectrum, dense_layers
from byheart.measures.critical.steps import Affine, Flatten, Node, Reach, values
from byheart.measures.critical.tracing import UnknownLayerError, trace_nodes

MAX_TENSOR_ELEMENTS = 2**23
"""Largest number of elements of one tensor (64 MiB in float64)."""
LEADING_EIGENVECTORS = 8
"""Eigenvectors that tighten the bound of the second dense layer, if the cheaper bound failed."""
GROUP_SIZE = 32
"""Samples per group, if a budget limits the proofs."""
MIN_SETTLED_FRACTION = 0.25
"""Proving stops after a group of which a smaller fraction was proved or refuted."""
IMAGES = 8
"""Samples of a CNN that are bounded together."""
SMALLEST_MARGIN = 2.0**-40
"""A smaller margin proves nothing in float32: it may be an effect of underflow."""
LARGEST_VALUE = 2.0**46
"""Largest value that inputs and weights may produce, for float32 bounds to be used.

Fewer than 2^40 products lose at most 2^-126 each by underflow. Multiplied by 2^46, this loss stays
below :data:`SMALLEST_MARGIN`.
"""
MIN_DIVISOR = 1e-300
TENSORS_PER_ROW, TENSORS_PER_TIGHTENED_ROW = 8, 64
"""Tensors of the largest layer's size that a row needs, without and with tightened ReLU inputs."""


@dataclass(frozen=True)
class Samples:
    """Inputs, with the class predicted at each.

    Attributes:
        x: [N, *shape] the inputs.
        predicted: [N] int64, the predicted class.
        rival: [N] int64, the class with the second largest logit.
        margin: [N] predicted logit minus rival logit.
    """

    x: Tensor
    predicted: Tensor
    rival: Tensor
    margin: Tensor

    @classmethod
    def from_logits(cls, x: Tensor, predicted: Tensor, logits: Tensor) -> Samples:
        """Return samples, given the network's logits [N, classes]."""
        index = predicted.unsqueeze(1)
        rivals = logits.scatter(1, index, float("-inf")).max(1)
        margin = logits.gather(1, index).squeeze(1) - rivals.values
        return cls(x, predicted, rivals.indices, margin.double())

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor | slice) -> Samples:
        """Return the samples of these rows."""
        return Samples(*(value[rows] for value in vars(self).values()))


class CheapBounds(NamedTuple):
    """Results of the cheap bounds.

    Attributes:
        certified: bool [N], no point of the box changes the predicted class.
        gap: [N], -bound / (margin - bound) for the bound on the rival's margin: the fraction of the
            relaxation's loss that a proof must win back. 1 if the margin is 0; at most 0 if
            the rival is excluded.
        passes: [N], cost of tightening the inputs of all undecided (unstable) ReLUs, in forward
            passes of one input.
    """

    certified: Tensor
    gap: Tensor
    passes: Tensor


@torch.no_grad()
def certificate(
    model: nn.Module, x: Tensor, predicted: Tensor, radius: float, *, splits: int = 0
) -> Certificate:
    r"""Prove, where possible, that a box contains no point with another predicted class.

    Formula: x is certified if min_{j != k} min_{||x^ - x||_inf <= r} (z_k - z_j)(x^) > 0 holds for
    a lower bound of the left side, where k is the class predicted at x. A costlier bound is
    tried only where the cheaper failed, for the classes j that it left open: interval propagation,
    in the second of two dense layers with the spectrum of the first; backward linear relaxation
    over these intervals (CROWN); the same with the input of every undecided
    (unstable) ReLU bounded by relaxation; optimised slopes (alpha-CROWN); and branch and bound on
    undecided ReLUs, which may also find a counterexample. A network with other layers than dense
    ones, ReLU and Flatten is bounded by :class:`Deviations`, with slopes only if there are splits.

    The bounds hold for the network as evaluated in its own floating-point format: every layer adds
    an error term (see :class:`byheart.measures.critical.steps.Affine`).

    Args:
        model: in eval mode; layers as docs/measures/critical-samples.md lists them, in
            ``nn.Sequential`` or in modules that can be traced.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        radius: r, in the unit of x.
        splits: largest number of splits per sample in branch and bound; 0 stops after slopes. A
            count, not a time, so that results do not depend on the machine.

    Returns:
        Masks of certified and refuted samples, or the name of the unsupported layer.

    Raises:
        RuntimeError: from the model, if it does not accept x. An unsupported layer is no error:
            the result names it.

    Source: Zhang et al. (2018), CROWN; Xu et al. (2021), alpha-CROWN; Wang et al. (2021),
    beta-CROWN; Higham (2002), section 3.1, for rounding.
    """
    if not len(x):
        return Certificate.nothing(x)
    try:
        prover = Prover.of(model, x, radius)
    except UnknownLayerError as unknown:
        return Certificate.nothing(x, str(unknown))
    samples = Samples.from_logits(x, predicted, model(x.clone()))
    certified = prover.cheap_bounds(samples).certified
    rows = (~certified).nonzero().squeeze(1)
    proof = prover.prove(samples.take(rows), splits)
    certified[rows] = proof.certified
    refuted, witness = torch.zeros_like(certified), x.clone()
    refuted[rows], witness[rows] = proof.refuted, proof.witness
    return Certificate(certified, refuted, witness, proof.passes)


@dataclass(frozen=True, eq=False)
class Prover:
    """A network, prepared for proofs.

    Attributes:
        model: the network, in eval mode.
        nodes: its layers, in float64.
        nodes32: its layers, in float32.
        radius: half the side of the boxes.
        float32_is_sound: float32 bounds, with their rounding error, are valid.
        widest: number of elements of the largest activation.
        program: the network for bounds of deviations; None if all layers are dense.
    """

    model: nn.Module
    nodes: Sequence[Node]
    nodes32: Sequence[Node]
    radius: float
    float32_is_sound: bool
    widest: int
    program: Program | None

    @classmethod
    def of(cls, model: nn.Module, x: Tensor, radius: float) -> Prover:
        """Prepare for inputs like ``x``.

        Raises:
            UnknownLayerError: a layer has no bounds, or the device of x has no float64.
        """
        if x.device.type == "mps":
            raise UnknownLayerError("the device mps, which has no float64")
        arithmetic = Arithmetic.of(model, x)
        nodes, nodes32 = (
            trace_nodes(model, x, arithmetic, dtype) for dtype in (torch.float64, torch.float32)
        )
        widest = max(value[0].numel() for value in values(nodes, x[:1].double()))
        sound = float32_is_sound(nodes, nodes32, x, radius)
        dense = all(_is_dense(node) for node in nodes)
        single = arithmetic.is_single(x)
        rows = (nodes32, torch.float32) if single else (nodes, torch.float64)
        program = None if dense else Program.of(*rows)
        return cls(model, nodes, nodes32, radius, sound, widest, program)

    def cheap_bounds(self, samples: Samples) -> CheapBounds:
        """Bound the margins by one relaxation over intervals."""
        if self.program is not None:
            return self._cheap_by_deviations(samples)
        return self._cheap_bounds(samples, self._plain_norms)

    def spectral_bounds(self, samples: Samples) -> CheapBounds:
        """Do the same, with the leading eigenvectors of the first of two dense layers."""
        assert self.program is None, "a network of dense layers"
        return self._cheap_bounds(samples, self._spectral_norms)

    def prove(self, samples: Samples, splits: int, budget: int | None = None) -> Certificate:
        """Prove or refute samples by tightened bounds, alpha-CROWN and branch and bound.

        Args:
            samples: the samples; with a budget, sorted by ``gap``, ascending.
            splits: largest number of splits per sample.
            budget: forward passes of one input to spend on slopes and splits of all samples; no
                limit if None. With a budget, proving also stops after the first group in which
                less than :data:`MIN_SETTLED_FRACTION` was proved or refuted.

        Returns:
            Results of the samples before the stop.
        """
        if self.program is not None:
            return self._prove_by_deviations(samples, splits, budget)
        tightens = any(relaxation_helps(self.nodes, number) for number in range(len(self.nodes)))
        second = self._second_layer(self._plain_norms, torch.float64)
        second32 = second
        if self.float32_is_sound:
            second32 = self._second_layer(self._plain_norms, torch.float32)

        def bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
            return tightened_bounds(nodes, box, MAX_TENSOR_ELEMENTS, second, second32)

        parts = []
        group = self._together(TENSORS_PER_TIGHTENED_ROW if tightens else TENSORS_PER_ROW)
        if budget is not None:
            group = min(group, GROUP_SIZE)
        for problem, part in self._problems(samples, group, bounds):
            root = problem.whole(*self._open_classes(problem).nonzero(as_tuple=True))
            classify, together = self._classifier(part), self._together(TENSORS_PER_ROW)
            proof = branch_and_bound(problem, root, part.x, classify, splits, together, budget)
            parts.append(proof)
            if budget is not None:
                budget -= proof.passes
                if int((proof.certified | proof.refuted).sum()) < MIN_SETTLED_FRACTION * len(part):
                    break
        return Certificate.together(parts, samples.x)

    def _cheap_by_deviations(self, samples: Samples) -> CheapBounds:
        gaps = []
        for deviations, part in self._deviations(samples):
            deviations.forward(tighten=False)
            bound = self._worst_margin(deviations, part)
            lost = (part.margin - bound).clamp(min=MIN_DIVISOR)
            gaps.append(-bound / lost)
        gap = torch.cat(gaps) if gaps else samples.margin
        # Its proof costs about as much as its search, in the network's own passes.
        return CheapBounds(gap < 0, gap, torch.zeros_like(gap))

    def _prove_by_deviations(
        self, samples: Samples, splits: int, budget: int | None
    ) -> Certificate:
        """Prove samples of a CNN; see :meth:`prove`. Slopes pay only where boxes are split."""
        parts: list[Certificate] = []
        done, settled = 0, 0
        for deviations, part in self._deviations(samples):
            deviations.forward(tighten=True)
            certified = self._worst_margin(deviations, part) > 0
            left = (~certified).nonzero().squeeze(1)
            proof = Certificate(certified, torch.zeros_like(certified), part.x.clone())
            if len(left):
                better, harder = deviations.improved(left), part.take(left)
                certified[left] = self._worst_margin(better, harder) > 0
                if splits:
                    proof = self._split(proof, left, better, harder, splits, budget)
            parts.append(proof)
            done += len(part)
            settled += int((proof.certified | proof.refuted).sum())
            if budget is not None:
                budget -= proof.passes
                if done % GROUP_SIZE == 0:
                    if settled < MIN_SETTLED_FRACTION * GROUP_SIZE:
                        break
                    settled = 0
        return Certificate.together(parts, samples.x)

    def _split(
        self,
        proof: Certificate,
        rows: Tensor,
        better: Deviations,
        samples: Samples,
        splits: int,
        budget: int | None,
    ) -> Certificate:
        """Return a proof with what branch and bound settles of the ``rows`` still open."""
        problem = Problem(self.nodes, self.nodes32, better.reaches, samples.predicted)
        open_classes = self._open_classes(problem) & ~proof.certified[rows].unsqueeze(1)
        root = problem.whole(*open_classes.nonzero(as_tuple=True))
        classify, together = self._classifier(samples), self._together(TENSORS_PER_ROW)
        split = branch_and_bound(problem, root, samples.x, classify, splits, together, budget)
        proof.certified[rows], proof.refuted[rows] = split.certified, split.refuted
        proof.witness[rows] = split.witness
        return replace(proof, passes=split.passes)

    def _deviations(self, samples: Samples) -> Iterator[tuple[Deviations, Samples]]:
        assert self.program is not None
        for start in range(0, len(samples), IMAGES):
            part = samples.take(slice(start, start + IMAGES))
            yield Deviations(self.nodes, self.program, box_around(part.x, self.radius)), part

    def _worst_margin(self, deviations: Deviations, samples: Samples) -> Tensor:
        """Return a lower bound of the predicted logit minus the largest other one, [N]."""
        classes = deviations.centres[-1].shape[1]
        identity = torch.eye(classes, device=samples.x.device)
        coefficients = identity[samples.predicted].unsqueeze(1) - identity
        rows = torch.arange(len(samples), device=samples.x.device)
        bound = deviations.margins(rows, coefficients)
        bound = bound.scatter(1, samples.predicted.unsqueeze(1), float("inf")).amin(1)
        return torch.nan_to_num(bound, nan=float("-inf"), posinf=float("inf"))

    def _classifier(self, samples: Samples) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return a function that tests whether points, projected on boxes, change the class."""
        box = Box.around(samples.x, self.radius)

        def classify(rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
            inside = box.take(rows).project(points.to(samples.x.dtype))
            # A copy, since layers may work in place.
            return inside, self.model(inside.clone()).argmax(-1) != samples.predicted[rows]

        return classify

    def _cheap_bounds(self, samples: Samples, norms: Norms | None) -> CheapBounds:
        dtype = torch.float32 if self.float32_is_sound else torch.float64
        second, parts = self._second_layer(norms, dtype), []

        def bounds(nodes: Sequence[Node], box: Reach) -> list[Reach]:
            return interval_bounds(nodes, box, second)

        for problem, part in self._problems(
            samples, self._together(TENSORS_PER_ROW), bounds, dtype
        ):
            open_classes = self._open_by_intervals(problem)
            gap = self._bound_rival(problem, part, open_classes)
            passes = tightening_passes(problem.nodes, problem.reaches, second)
            parts.append((~open_classes.any(1), gap, passes))
        if not parts:  # no samples: empty tensors of the right types
            return CheapBounds(samples.predicted > 0, samples.margin, samples.margin)
        return CheapBounds(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _second_layer(self, norms: Norms | None, dtype: torch.dtype) -> SecondLayer | None:
        nodes = self.nodes if dtype is torch.float64 else self.nodes32
        return None if norms is None else SecondLayer.of(nodes, norms)

    @cached_property
    def _plain_norms(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(0)

    @cached_property
    def _spectral_norms(self) -> Norms | None:
        return None if self._spectrum is None else self._spectrum.norms(LEADING_EIGENVECTORS)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        layers = dense_layers(self.nodes)
        weight = layers[1].weight if layers else None
        return None if weight is None else Spectrum.of(weight, LEADING_EIGENVECTORS)

    def _problems(
        self,
        samples: Samples,
        together: int,
        bounds: Callable[[Sequence[Node], Reach], list[Reach]],
        dtype: torch.dtype = torch.float64,
    ) -> Iterator[tuple[Problem, Samples]]:
        nodes = self.nodes if dtype is torch.float64 else self.nodes32
        for start in range(0, len(samples), together):
            part = samples.take(slice(start, start + together))
            reaches = bounds(nodes, box_around(part.x, self.radius, dtype))
            yield Problem(nodes, self.nodes32, reaches, part.predicted), part

    def _open_classes(self, problem: Problem) -> Tensor:
        """Return the classes that no bound excludes, bool [N, classes]."""
        open_classes = self._open_by_intervals(problem)
        self._exclude(problem, open_classes, open_classes.clone())
        return open_classes

    def _open_by_intervals(self, problem: Problem) -> Tensor:
        """Return the classes that intervals of the logits do not exclude, bool [N, classes]."""
        last, index = problem.reaches[-1], problem.predicted.unsqueeze(1)
        open_classes = ~(last.low.gather(1, index) - last.high > _min_margin(problem))
        return open_classes.scatter_(1, index, False)

    def _bound_rival(self, problem: Problem, samples: Samples, open_classes: Tensor) -> Tensor:
        """Bound the rival class, and the other classes only if the rival is excluded.

        Excluded classes are removed from ``open_classes``.

        Returns:
            ``gap``, as in :class:`CheapBounds`.
        """
        gap = samples.margin.new_zeros(len(samples))
        rows = open_classes.any(1).nonzero().squeeze(1)
        wanted = open_classes.clone()
        if len(rows):
            rival = samples.rival[rows]
            bound = problem.margins(rows, rival.unsqueeze(1)).bound.squeeze(1)
            open_classes[rows, rival] &= ~(bound > _min_margin(problem))
            shortfall = -bound.double()
            lost = (samples.margin[rows] + shortfall).clamp(min=MIN_DIVISOR)
            gap[rows] = shortfall / lost
            wanted[rows] &= ~open_classes[rows, rival].unsqueeze(1)
        self._exclude(problem, open_classes, wanted)
        return gap

    def _exclude(self, problem: Problem, open_classes: Tensor, wanted: Tensor) -> None:
        """Bound the classes in ``wanted``; remove those excluded from ``open_classes``."""
        counts = wanted.sum(1)
        order = counts.argsort(stable=True)
        order = order[counts[order] > 0]
        while len(order):
            longest = int(counts[order[-1]])
            together = self._together(TENSORS_PER_ROW * longest)
            rows, order = order[-together:].sort().values, order[:-together]
            ranked = torch.sort((~wanted[rows]).to(torch.uint8), dim=1, stable=True).indices
            targets = ranked[:, :longest]
            bound = problem.margins(rows, targets).bound
            open_classes[rows.unsqueeze(1), targets] &= ~(bound > _min_margin(problem))

    def _together(self, tensors: int) -> int:
        """Return the number of rows that fit in memory, with ``tensors`` activations per row."""
        return max(1, MAX_TENSOR_ELEMENTS // (tensors * self.widest))


def _is_dense(node: Node) -> bool:
    """Return whether a network of such nodes alone is bounded by the methods of dense layers."""
    step = node.step
    return isinstance(step, Relu | Flatten) or (
        isinstance(step, Affine) and step.weight is not None
    )


def float32_is_sound(
    nodes: Sequence[Node], nodes32: Sequence[Node], x: Tensor, radius: float
) -> bool:
    """Return whether float32 bounds of a network, with their rounding error, are valid.

    They are valid for dense layers whose weights are exact in float32, on a CPU, if
    :data:`SMALLEST_MARGIN` covers all underflow (see :data:`LARGEST_VALUE`).

    Args:
        nodes: the layers in float64.
        nodes32: the layers in float32.
        x: inputs.
        radius: half the side of the boxes around them.
    """
    if x.dtype is not torch.float32 or x.device.type != "cpu":
        return False
    size = 1.0 + float(x.abs().max()) + radius
    for node, node32 in zip(nodes, nodes32, strict=True):
        exact, rough = node.step, node32.step
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


def _min_margin(problem: Problem) -> float:
    """Return the value that the bound of a margin must exceed for a proof."""
    return 0.0 if problem.reaches[-1].low.dtype is torch.float64 else SMALLEST_MARGIN

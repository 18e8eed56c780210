"""The proof that a sample is not critical."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import (
    box_around,
    gains,
    interval_bounds,
    tightened_bounds,
)
from byheart.measures.critical.branching import Outcome, branch_and_bound
from byheart.measures.critical.domains import Problem
from byheart.measures.critical.lass import Box
from byheart.measures.critical.network import Node, values
from byheart.measures.critical.tracing import UnknownLayerError, nodes_of

ELEMENTS = 2**23
"""Numbers that one tensor of a pass may hold (64 MiB)."""
SPLITS = 100
"""Cuts to spend on a sample where its bracket shall be narrow."""

Search = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Certificate:
    """Which samples are proved not critical.

    Attributes:
        certified: bool [N], no point of the box changes the predicted class.
        uncertified_layer: the layer for which there is no certificate, if there is one: then
            nothing is certified.
        broken: bool [N], ``witness`` changes it: found on the way to a proof. None if none was.
        witness: [N, *shape], in the box, the input itself where not ``broken``.
    """

    certified: Tensor
    uncertified_layer: str | None = None
    broken: Tensor | None = None
    witness: Tensor | None = None


@torch.no_grad()
def certificate(
    model: nn.Module,
    x: Tensor,
    predicted: Tensor,
    radius: float,
    *,
    splits: int = 0,
    search: Search | None = None,
) -> Certificate:
    r"""Prove, where possible, that a box holds no point of another predicted class.

    Formula: x is certified if min_{j != k} min_{||x^ - x||_inf <= r} (z_k - z_j)(x^) > 0 holds for
    a lower bound of the left side, where k is the class predicted at x. A dearer bound is tried
    only where the cheaper failed, for the classes j that it left open: interval propagation;
    backward linear relaxation over intervals; the same with every undecided ReLU bounded in the
    same way; optimised slopes; and branch and bound on undecided ReLUs, which may also find
    a point of another class.

    The bounds hold for the network as evaluated in its own floating-point format: every layer adds
    an error term (see :class:`byheart.measures.critical.affine.Affine`).

    Args:
        model: in eval mode; Linear, Conv2d, BatchNorm, ReLU, pooling, Flatten, Identity and Dropout
            layers and additions, in ``nn.Sequential`` or in modules that can be traced.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        radius: r, in the unit of x.
        splits: cuts that branch and bound may spend on a sample; with 0 it stops at slopes. A count
            and not a time, so that results do not depend on the machine.
        search: asked after the two cheapest bounds, with a mask bool [N] of what they left open,
            which samples of these it can show critical: for them no proof is tried.

    Returns:
        The masks, or the name of the layer that has no certificate.

    Raises:
        RuntimeError: from the model, if it does not take x. A layer without a certificate is no
            error: it is named in the result.

    Source: Zhang et al. (2018), CROWN; Xu et al. (2021), alpha-CROWN; Wang et al. (2021),
    beta-CROWN; Higham (2002), section 3.1, for rounding.
    """
    nothing = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    try:
        arithmetic = Arithmetic.of(model, x)
        nodes, fast = (
            nodes_of(model, x, arithmetic, dtype) for dtype in (torch.float64, torch.float32)
        )
    except UnknownLayerError as unknown:
        return Certificate(nothing, str(unknown))
    widest = max(value[0].numel() for value in values(nodes, x[:1].double()))
    proof = _Proof(model, nodes, fast, x, predicted, radius, splits, widest)
    certified = proof.cheap()
    unsettled = ~certified
    if search is not None and bool(unsettled.any()):
        unsettled = unsettled & ~search(unsettled)
    broken, witness = nothing, x.clone()
    for part, found in proof.thorough(unsettled.nonzero().squeeze(1)):
        certified[part], broken[part], witness[part] = found.proved, found.broken, found.witness
    return Certificate(certified, None, broken, witness)


@dataclass(frozen=True)
class _Proof:
    model: nn.Module
    nodes: Sequence[Node]
    fast: Sequence[Node]
    x: Tensor
    predicted: Tensor
    radius: float
    splits: int
    widest: int

    def cheap(self) -> Tensor:
        """Return which samples intervals and one relaxation over them certify."""
        everything = torch.arange(len(self.x), device=self.x.device)
        parts = [
            ~self._open(problem).any(1) for _, problem in self._problems(everything, tight=False)
        ]
        return torch.cat(parts)

    def thorough(self, samples: Tensor) -> Iterator[tuple[Tensor, Outcome]]:
        """Settle what can be settled of some samples; parts of them, and what became of each."""
        tight = any(gains(self.nodes, number) for number in range(len(self.nodes)))
        for part, problem in self._problems(samples, tight):
            whole = problem.whole(*self._open(problem).nonzero(as_tuple=True))
            points = _Points(self.model, Box.around(self.x[part], self.radius), problem.predicted)
            yield (
                part,
                branch_and_bound(
                    problem, whole, self.x[part], points, self.splits, self._together(8)
                ),
            )

    def _problems(self, samples: Tensor, tight: bool) -> Iterator[tuple[Tensor, Problem]]:
        if not len(samples):
            return
        for part in torch.split(samples, self._together(64 if tight else 8)):
            box = box_around(self.x[part], self.radius)
            reaches = (
                tightened_bounds(self.nodes, box, ELEMENTS)
                if tight
                else interval_bounds(self.nodes, box)
            )
            yield part, Problem(self.nodes, self.fast, reaches, self.predicted[part])

    def _open(self, problem: Problem) -> Tensor:
        """Return which classes no bound rules out, bool [N, classes]."""
        last, own = problem.reaches[-1], problem.predicted.unsqueeze(1)
        found = ~(last.low.gather(1, own) - last.high > 0)
        found.scatter_(1, own, False)
        for bounds in (problem.through_last, problem.through_all):
            sample, target = found.nonzero(as_tuple=True)
            numbers = torch.arange(len(sample), device=own.device)
            for rows in torch.split(numbers, self._together(8)) if len(sample) else ():
                pairs = problem.whole(sample[rows], target[rows])
                found[pairs.sample, pairs.target] = ~(bounds(pairs) > 0)
        return found

    def _together(self, tensors: int) -> int:
        """Return how many rows to treat together, if as many tensors are held for each."""
        return max(1, ELEMENTS // (tensors * self.widest))


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

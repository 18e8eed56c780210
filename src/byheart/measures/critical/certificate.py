"""The proof that a sample is not critical."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.measures.critical.prover import Prover, Samples
from byheart.measures.critical.tracing import UnknownLayerError


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
    model: nn.Module, x: Tensor, predicted: Tensor, radius: float, *, splits: int = 0
) -> Certificate:
    r"""Prove, where possible, that a box holds no point of another predicted class.

    Formula: x is certified if min_{j != k} min_{||x^ - x||_inf <= r} (z_k - z_j)(x^) > 0 holds for
    a lower bound of the left side, where k is the class predicted at x. A dearer bound is tried
    only where the cheaper failed, for the classes j that it left open: interval propagation, in
    the second of two dense layers with the spectrum of the first; backward linear relaxation over
    these intervals; both with a closer look at the spectrum; the same with every undecided ReLU
    bounded by relaxation; optimised slopes; and branch and bound on undecided ReLUs, which may
    also find a point of another class.

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

    Returns:
        The masks, or the name of the layer that has no certificate.

    Raises:
        RuntimeError: from the model, if it does not take x. A layer without a certificate is no
            error: it is named in the result.

    Source: Zhang et al. (2018), CROWN; Xu et al. (2021), alpha-CROWN; Wang et al. (2021),
    beta-CROWN; Higham (2002), section 3.1, for rounding.
    """
    try:
        prover = Prover.of(model, x, radius)
    except UnknownLayerError as unknown:
        return Certificate(torch.zeros_like(predicted, dtype=torch.bool), str(unknown))
    samples = Samples.of(x, predicted, model(x.clone()))
    certified = prover.glance(samples).proved
    rows = (~certified).nonzero().squeeze(1)
    outcome = prover.settle(samples.take(rows), splits)
    certified[rows] = outcome.proved
    broken, witness = torch.zeros_like(certified), x.clone()
    broken[rows], witness[rows] = outcome.broken, outcome.witness
    return Certificate(certified, None, broken, witness)

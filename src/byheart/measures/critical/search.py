"""Critical samples of any PyTorch classifier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.critical.certificate import Certificate, certificate
from byheart.measures.critical.lass import Search, lass, verified
from byheart.measures.modes import evaluating
from byheart.seeds import seed as seed_of


@dataclass(frozen=True)
class CriticalSamples:
    """Which samples are critical, as far as the search found.

    Attributes:
        critical: bool [N], a witness was found, projected on the box again and scored again.
        witness: [N, *shape] the witness where ``critical``, else the input itself.
        found_at: int64 [N], iteration at which the witness was found; -1 where there is none.
        success: [max_steps + 1] fraction of samples found critical by each iteration: a flat end
            says that more iterations would find few more.
        control: fraction found critical by the same search without its gradient.
        radius: of the box.
        certified: bool [N], proved not critical: no point of the box has another predicted class.
        uncertified_layer: the layer that the proof does not know, if the network has one; then no
            sample is certified. None also if no proof was asked for.
    """

    critical: Tensor
    witness: Tensor
    found_at: Tensor
    success: Tensor
    control: float
    radius: float
    certified: Tensor
    uncertified_layer: str | None

    @property
    def lower(self) -> float:
        """Lower bound of the critical sample ratio: what was found is critical, more may be."""
        return float(self.critical.cpu().double().mean())

    @property
    def upper(self) -> float:
        """Upper bound of the critical sample ratio: what is certified is not critical."""
        return float((~self.certified).cpu().double().mean())


def critical_samples(
    model: nn.Module,
    x: Tensor,
    *,
    radius: float = 0.3 / 255,
    step: float = 0.25 / 255,
    noise: float = 0.2 / 255,
    max_steps: int = 100,
    certify: bool = True,
    seed: int = 0,
    batch_size: int = 1024,
) -> CriticalSamples:
    r"""Bracket how many inputs have another predicted class within a box around them.

    Formula: x is critical for f if some x^ with ||x - x^||_inf <= r has
    argmax f(x^) != argmax f(x); only the predicted class counts, never the true one. The search is
    LASS (see :func:`byheart.measures.critical.lass.lass`); it proves samples critical, never not.
    The certificate (see :func:`byheart.measures.critical.certificate.certificate`) proves samples
    not critical; it goes first, and what it settles is not searched. What neither settles is the
    distance between ``lower`` and ``upper``.

    The model is put into eval mode, submodule by submodule, and left as it was; its parameters and
    the global random state are not touched.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] inputs, on the scale that radius, step and noise are given in.
        radius: r of the box.
        step: alpha, length of a step along the sign of the gradient.
        noise: beta, standard deviation of the noise added to every coordinate at every step.
        max_steps: iteration limit.
        certify: whether to look for proofs that samples are not critical.
        seed: of the noise.
        batch_size: inputs searched together.

    Returns:
        Both bounds and masks, witnesses, the search's own curve and its noise-only control.

    Raises:
        InputError: no input, a setting out of range, or a model whose output is not finite logits
            [N, classes].

    Source: A17 section 4.1, Algorithm 1 (r = 0.3, alpha = 0.25, beta = 0.2 on the 0-255 scale).

    Example:
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.eye(2))
        >>> x = torch.tensor([[0.50, 0.49], [0.9, 0.1]])
        >>> found = critical_samples(model, x, radius=0.02, step=0.01, noise=0.005)
        >>> found.critical.tolist(), found.certified.tolist()
        ([True, False], [False, True])
        >>> found.lower, found.upper
        (0.5, 0.5)
    """
    x = torch.as_tensor(x)
    _check(x, radius=radius, step=step, noise=noise, max_steps=max_steps, batch_size=batch_size)
    with evaluating(model):
        classifier = _Single(model)
        batches = torch.split(x.detach(), batch_size)
        proofs = [_prove(classifier, part, radius, certify) for part in batches]
        parts = [
            _search(classifier, part, proof.certified, number, radius, step, noise, max_steps, seed)
            for number, (part, proof) in enumerate(zip(batches, proofs, strict=True))
        ]
    witness, found_at, control = (torch.cat(column) for column in zip(*parts, strict=True))
    critical = found_at >= 0
    by = torch.arange(max_steps + 1, device=x.device)
    found_by = critical[:, None] & (found_at[:, None] <= by)
    return CriticalSamples(
        critical=critical,
        witness=witness,
        found_at=found_at,
        success=found_by.cpu().double().mean(0),
        control=float(control.cpu().double().mean()),
        radius=radius,
        certified=torch.cat([proof.certified for proof in proofs]),
        uncertified_layer=proofs[0].uncertified_layer,
    )


class _Single:
    """One module as a pack of a single replica."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        logits = self.model(x[0])
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != x.shape[1]:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"the model must map [N, ...] to logits [N, classes]: for N = {x.shape[1]} it "
                f"returned {got}"
            )
        return logits.unsqueeze(0)

    def select(self, replicas: Tensor) -> _Single:
        del replicas  # there is only one
        return self


@torch.no_grad()
def _prove(classifier: _Single, x: Tensor, radius: float, certify: bool) -> Certificate:
    """Return which samples of a batch need no search."""
    logits = classifier(x.unsqueeze(0))[0]
    if not bool(torch.isfinite(logits).all()):
        raise InputError("the model returns logits that are not finite: check its weights")
    if not certify or x.device.type == "mps":
        none = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        return Certificate(none, "the device mps, which has no float64" if certify else None)
    return certificate(classifier.model, x, logits.argmax(-1), radius)


def _search(
    classifier: _Single,
    x: Tensor,
    certified: Tensor,
    number: int,
    radius: float,
    step: float,
    noise: float,
    max_steps: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return witnesses, iterations found (-1: none) and what the control found, for one batch."""

    def run(step: float) -> tuple[Search, Tensor]:
        found = lass(
            classifier,
            x.unsqueeze(0),
            radius,
            step=step,
            noise=noise,
            max_steps=max_steps,
            generator=torch.Generator().manual_seed(seed_of("lass", seed, number) % 2**63),
            settled=certified.unsqueeze(0),
        )
        return found, verified(classifier, x.unsqueeze(0), radius, found)[0]

    found, critical = run(step)
    found_at = torch.where(critical, found.found_at[0], -1)
    shown = critical.reshape(-1, *[1] * (x.dim() - 1))
    return torch.where(shown, found.witness[0], x), found_at, run(0.0)[1]


def _check(
    x: Tensor, *, radius: float, step: float, noise: float, max_steps: int, batch_size: int
) -> None:
    if x.dim() < 2 or not len(x) or not x.is_floating_point():
        raise InputError(
            f"x must be floating-point inputs [N, *shape] with N >= 1, got {x.dtype} "
            f"{tuple(x.shape)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    for name, value in (("radius", radius), ("step", step), ("noise", noise)):
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} must be a number of 0 or more, got {value}")
    for name, count in (("max_steps", max_steps), ("batch_size", batch_size)):
        if count < 1:
            raise InputError(f"{name} must be 1 or more, got {count}")

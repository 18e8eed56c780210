"""Critical samples of any PyTorch classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.critical.certificate import SPLITS, Certificate, certificate
from byheart.measures.critical.lass import Search, lass, verified
from byheart.measures.critical.noise import OwnNoise
from byheart.measures.modes import evaluating

FIRST_STEPS = 10
"""Steps of the search before the dear part of a proof: most witnesses are found by then."""
PROBED = 64
"""Inputs on which the model is asked twice."""


@dataclass(frozen=True)
class CriticalSamples:
    """Which samples are critical, as far as the search found.

    Attributes:
        critical: bool [N], a witness was found, projected on the box again and scored again.
        witness: [N, *shape] the witness where ``critical``, else the input itself.
        found_at: int64 [N], iteration at which the search found a witness; -1 where it found none
            (the proof may have).
        success: [max_steps + 1] fraction of samples that the search found critical by each
            iteration: a flat end says that more iterations would find few more.
        control: fraction found critical by the same search without its gradient; NaN if not asked
            for.
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
    splits: int = SPLITS,
    control: bool = True,
    seed: int = 0,
    batch_size: int = 1024,
) -> CriticalSamples:
    r"""Bracket how many inputs have another predicted class within a box around them.

    Formula: x is critical for f if some x^ with ||x - x^||_inf <= r has
    argmax f(x^) != argmax f(x); only the predicted class counts, never the true one. The search is
    LASS (see :func:`byheart.measures.critical.lass.lass`); it proves samples critical, never not.
    The certificate (see :func:`byheart.measures.critical.certificate.certificate`) proves samples
    not critical, and finds a few more witnesses; what it certifies is not searched, and what the
    first steps of a search break is not certified. What neither settles is the distance between
    ``lower`` and ``upper``.

    The model is put into eval mode, submodule by submodule, and left as it was; its parameters and
    the global random state are not touched.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] inputs, in the unit that radius, step and noise are given in.
        radius: r of the box.
        step: alpha, length of a step along the sign of the gradient.
        noise: beta, standard deviation of the noise added to every coordinate at every step.
        max_steps: iteration limit.
        certify: whether to look for proofs that samples are not critical.
        splits: how many cuts of its box to spend on one sample where a proof is hard.
        control: whether to search once more without the gradient.
        seed: of the noise.
        batch_size: inputs searched together.

    Returns:
        Both bounds and masks, witnesses, the search's own curve and its noise-only control.

    Raises:
        InputError: no input, a setting out of range, a radius larger than the inputs' range, or a
            model whose output is not finite logits [N, classes] or not the same in a second pass.

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
    settings = _Settings(radius, step, noise, max_steps, certify, splits, control, seed)
    _check(x, settings, batch_size)
    with evaluating(model):
        classifier = _Single(model)
        batches = torch.split(x.detach(), batch_size)
        _check_model(classifier, batches[0])
        parts = [
            _Batch(classifier, part, number * batch_size, settings).run()
            for number, part in enumerate(batches)
        ]
    certified, layer = torch.cat([part.certified for part in parts]), parts[0].uncertified_layer
    found_at = torch.cat([part.found_at for part in parts])
    by = torch.arange(max_steps + 1, device=x.device)
    found_by = (found_at >= 0)[:, None] & (found_at[:, None] <= by)
    return CriticalSamples(
        critical=torch.cat([part.critical for part in parts]),
        witness=torch.cat([part.witness for part in parts]),
        found_at=found_at,
        success=found_by.cpu().double().mean(0),
        control=sum(part.control for part in parts) / len(x),
        radius=radius,
        certified=certified,
        uncertified_layer=layer,
    )


@dataclass(frozen=True)
class _Settings:
    radius: float
    step: float
    noise: float
    max_steps: int
    certify: bool
    splits: int
    control: bool
    seed: int


@dataclass(frozen=True)
class _Settled:
    critical: Tensor
    witness: Tensor
    found_at: Tensor
    control: float
    certified: Tensor
    uncertified_layer: str | None


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


@dataclass(frozen=True)
class _Batch:
    """Inputs that are settled together."""

    classifier: _Single
    x: Tensor
    first: int
    settings: _Settings

    def run(self) -> _Settled:
        """Search, prove, and search on where neither has settled an input."""
        found_at = torch.full((len(self.x),), -1, dtype=torch.int64, device=self.x.device)
        witness, max_steps = self.x.clone(), self.settings.max_steps

        def search(wanted: Tensor, max_steps: int) -> Tensor:
            """Search for witnesses of some inputs, keep them, and return whose were found."""
            rows, found = self._lass(wanted, self.settings.step, max_steps)
            found_at[rows], witness[rows] = found.found_at[0], found.witness[0]
            return found_at >= 0

        proof = self._prove(lambda wanted: search(wanted, min(FIRST_STEPS, max_steps)))
        search(~proof.certified & (found_at < 0), max_steps)
        critical = found_at >= 0
        if proof.broken is not None and proof.witness is not None:
            rows = (proof.broken & ~critical).nonzero().squeeze(1)
            rows = rows[self._verified(rows, Search(proof.witness[rows][None], rows, rows))]
            witness[rows], critical[rows] = proof.witness[rows], True
        control = float("nan")
        if self.settings.control:
            control = float(len(self._lass(~proof.certified, 0.0, max_steps)[0]))
        return _Settled(
            critical, witness, found_at, control, proof.certified, proof.uncertified_layer
        )

    def _lass(self, wanted: Tensor, step: float, max_steps: int) -> tuple[Tensor, Search]:
        """Search for witnesses of some inputs; return whose hold when scored again, and them."""
        settings, rows = self.settings, wanted.nonzero().squeeze(1)
        if not len(rows):
            none = rows.unsqueeze(0)
            return rows, Search(self.x[rows].unsqueeze(0), none, none)
        found = lass(
            self.classifier,
            self.x[rows].unsqueeze(0),
            settings.radius,
            step=step,
            noise=settings.noise,
            max_steps=max_steps,
            generator=OwnNoise(settings.seed, self.first + rows, self.x),
        )
        kept = (found.found_at[0] >= 0).nonzero().squeeze(1)
        found = Search(found.witness[:, kept], found.found_at[:, kept], found.predicted[:, kept])
        holds = self._verified(rows[kept], found)
        found = Search(found.witness[:, holds], found.found_at[:, holds], found.predicted[:, holds])
        return rows[kept][holds], found

    def _verified(self, rows: Tensor, found: Search) -> Tensor:
        if not len(rows):
            return rows > 0
        x = self.x[rows].unsqueeze(0)
        return verified(self.classifier, x, self.settings.radius, found)[0]

    @torch.no_grad()
    def _prove(self, search: Callable[[Tensor], Tensor]) -> Certificate:
        logits = self.classifier(self.x.unsqueeze(0))[0]
        if not bool(torch.isfinite(logits).all()):
            raise InputError("the model returns logits that are not finite: check its weights")
        settings = self.settings
        if not settings.certify or self.x.device.type == "mps":
            none = torch.zeros(len(self.x), dtype=torch.bool, device=self.x.device)
            why = "the device mps, which has no float64" if settings.certify else None
            return Certificate(none, why)
        return certificate(
            self.classifier.model,
            self.x,
            logits.argmax(-1),
            settings.radius,
            splits=settings.splits,
            search=search,
        )


@torch.no_grad()
def _check_model(classifier: _Single, x: Tensor) -> None:
    """Refuse a model that answers differently when asked again."""
    probe = x[:PROBED].unsqueeze(0)
    one, two = (classifier(probe.clone()) for _ in range(2))
    if not torch.allclose(one, two, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise InputError(
            "the model is not deterministic in eval mode (two passes over the same inputs differ): "
            "switch off what is random in it"
        )


def _check(x: Tensor, settings: _Settings, batch_size: int) -> None:
    if x.dim() < 2 or not x.numel() or not x.is_floating_point():
        raise InputError(
            f"x must be floating-point inputs [N, *shape] with N >= 1, got {x.dtype} "
            f"{tuple(x.shape)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    for name in ("radius", "step", "noise"):
        value = getattr(settings, name)
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} must be a number of 0 or more, got {value}")
    # Inputs of one value are no reason to refuse every radius: their scale is at least [0, 1].
    spread = max(1.0, float(x.max()) - float(x.min()))
    if settings.radius > spread:
        raise InputError(
            f"radius must be on the scale of the inputs, which span {spread:g}, got "
            f"{settings.radius:g}: a radius given in pixel values has to be divided by 255"
        )
    for name, count, least in (
        ("max_steps", settings.max_steps, 1),
        ("batch_size", batch_size, 1),
        ("splits", settings.splits, 0),
    ):
        if count < least:
            raise InputError(f"{name} must be {least} or more, got {count}")

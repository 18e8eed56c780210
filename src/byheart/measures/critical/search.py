"""Critical samples of any PyTorch classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.critical.certificate import HOPELESS, SPLITS, Glance, Prover, Samples
from byheart.measures.critical.corners import corners
from byheart.measures.critical.lass import Search, lass, verified
from byheart.measures.critical.noise import OwnNoise
from byheart.measures.critical.tracing import UnknownLayerError
from byheart.measures.modes import evaluating

PROOF = 0.05
"""What slopes and cuts may cost, as a share of searching all samples to the limit."""
LOOKED = 0.3
"""Of what a relaxation loses, the share that a closer look may win back."""
PROBED = 64
"""Inputs on which the model is asked twice."""


@dataclass(frozen=True)
class CriticalSamples:
    """Which samples are critical, as far as the search found.

    Attributes:
        critical: bool [N], a witness was found, projected on the box again and scored again.
        witness: [N, *shape] the witness where ``critical``, else the input itself.
        found_at: int64 [N], iteration at which the search found a witness, 0 for the corners before
            it; -1 where it found none (the proof may have).
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
    splits: int | None = None,
    control: bool = False,
    seed: int = 0,
    batch_size: int = 1024,
) -> CriticalSamples:
    r"""Bracket how many inputs have another predicted class within a box around them.

    Formula: x is critical for f if some x^ with ||x - x^||_inf <= r has
    argmax f(x^) != argmax f(x); only the predicted class counts, never the true one. The search is
    LASS (see :func:`byheart.measures.critical.lass.lass`), after a few corners of the box that the
    margin points to (see :func:`byheart.measures.critical.corners.corners`); it proves samples
    critical, never not. The certificate (see
    :func:`byheart.measures.critical.certificate.certificate`) proves samples not critical, and
    finds a few more witnesses. The cheapest way to settle a sample is tried first, and what is
    settled is left alone. What nothing settles is the distance between ``lower`` and ``upper``.

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
        splits: how many cuts of its box to spend on one sample where a proof is hard. If None, the
            dear part of the proof costs at most a quarter of what searching all samples would, as
            counted in passes, and goes to the samples nearest to a proof first.
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
    settings = _Settings(radius, step, noise, max_steps, certify, splits, control, seed, batch_size)
    _check(x, settings)
    with evaluating(model):
        classifier = _Single(model)
        _check_model(classifier, x[:batch_size])
        return _Settling(classifier, x.detach(), settings).run()


@dataclass(frozen=True)
class _Settings:
    radius: float
    step: float
    noise: float
    max_steps: int
    certify: bool
    splits: int | None
    control: bool
    seed: int
    batch_size: int


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


class _Settling:
    """What is known of all samples, as it grows.

    Attributes:
        found_at: int64 [N], -1 where the search found nothing.
        witness: [N, *shape] where something was found, else the input.
        broken: bool [N], there is a witness, not yet scored again.
        certified: bool [N].
    """

    def __init__(self, classifier: _Single, x: Tensor, settings: _Settings) -> None:
        self.classifier, self.x, self.settings = classifier, x, settings
        logits = self._scored(x)
        if not bool(torch.isfinite(logits).all()):
            raise InputError("the model returns logits that are not finite: check its weights")
        self.predicted = logits.argmax(-1)
        self.samples = Samples.of(x, self.predicted, logits)
        self.found_at = torch.full_like(self.predicted, -1)
        self.witness = x.clone()
        self.broken = torch.zeros_like(self.predicted, dtype=torch.bool)
        self.certified = self.broken.clone()

    @property
    def open(self) -> Tensor:
        """Return the samples that nothing has settled, as indices."""
        return (~(self.broken | self.certified)).nonzero().squeeze(1)

    def run(self) -> CriticalSamples:
        """Settle what can be settled, the cheapest way first."""
        prover, unknown = self._prover()
        if prover is not None:
            seen = self._cheaply(prover.glance, self.open)
        self._corners()
        if prover is not None:
            self._prove(prover, seen)
        self._lass()
        self._verify()
        control = self._control() if self.settings.control else float("nan")
        by = torch.arange(self.settings.max_steps + 1, device=self.x.device)
        found_by = (self.found_at >= 0)[:, None] & (self.found_at[:, None] <= by)
        return CriticalSamples(
            critical=self.broken,
            witness=self.witness,
            found_at=self.found_at,
            success=found_by.cpu().double().mean(0),
            control=control,
            radius=self.settings.radius,
            certified=self.certified,
            uncertified_layer=unknown,
        )

    def _prover(self) -> tuple[Prover | None, str | None]:
        if not self.settings.certify:
            return None, None
        if self.x.device.type == "mps":
            return None, "the device mps, which has no float64"
        try:
            return Prover.of(self.classifier.model, self.x, self.settings.radius), None
        except UnknownLayerError as unknown:
            return None, str(unknown)

    def _corners(self) -> None:
        for rows in torch.split(self.open, self.settings.batch_size):
            found, witness = corners(
                self.classifier.model, self.x[rows], self.predicted[rows], self.settings.radius
            )
            self._keep(rows[found], witness[found], 0)

    @torch.no_grad()
    def _cheaply(self, look: Callable[[Samples], Glance], rows: Tensor) -> Glance:
        """Prove what a cheap bound proves of some samples, and return what it says of them."""
        seen = look(self.samples.take(rows))
        self.certified[rows] = seen.proved
        return seen

    @torch.no_grad()
    def _prove(self, prover: Prover, seen: Glance) -> None:
        """Give the dear proofs to all open samples, or to those for which they may pay.

        Costs are counted in passes of one input through the network: an iteration of the search
        takes two. Bounds of undecided ReLUs may cost a sample as much as its search would, which
        they spare it where they succeed.
        """
        rows, splits, purse = self.open, self.settings.splits, None
        if splits is None:
            search = 2 * self.settings.max_steps
            purse = int(PROOF * search * len(self.x))
            rows = rows[seen.lacking[rows] < HOPELESS]
            near = rows[seen.lacking[rows] < LOOKED]
            if float(seen.passes[near].sum()) > purse:
                closer = self._cheaply(prover.look, near)
                seen.lacking[near], seen.passes[near] = closer.lacking, closer.passes
                rows = rows[~self.certified[rows]]
            rows = rows[seen.passes[rows] <= search]
            rows, splits = rows[seen.lacking[rows].argsort(stable=True)], SPLITS
        found = prover.settle(self.samples.take(rows), splits, purse)
        self.certified[rows] = found.proved
        self.broken[rows[found.broken]] = True
        self.witness[rows[found.broken]] = found.witness[found.broken]

    def _lass(self) -> None:
        # Also where a proof has found a witness: what the search finds shall not depend on proofs.
        searched = (~self.certified & (self.found_at < 0)).nonzero().squeeze(1)
        for rows in torch.split(searched, self.settings.batch_size):
            found = self._search(rows, self.settings.step)
            kept = found.found_at[0] >= 0
            self._keep(rows[kept], found.witness[0, kept], found.found_at[0, kept])

    def _search(self, rows: Tensor, step: float) -> Search:
        settings = self.settings
        return lass(
            self.classifier,
            self.x[rows].unsqueeze(0),
            settings.radius,
            step=step,
            noise=settings.noise,
            max_steps=settings.max_steps,
            generator=OwnNoise(settings.seed, rows, self.x),
        )

    def _control(self) -> float:
        """Return for which fraction of all samples noise alone finds a witness."""
        found = torch.zeros_like(self.broken)
        for rows in torch.split((~self.certified).nonzero().squeeze(1), self.settings.batch_size):
            search = self._search(rows, 0.0)
            found[rows] = (search.found_at[0] >= 0) & self._holds(rows, search.witness[0])
        return float(found.double().mean())

    def _keep(self, rows: Tensor, witness: Tensor, found_at: Tensor | int) -> None:
        self.broken[rows] = True
        self.witness[rows], self.found_at[rows] = witness, found_at

    def _verify(self) -> None:
        """Forget the witnesses that do not hold when they are projected and scored again."""
        for rows in torch.split(self.broken.nonzero().squeeze(1), self.settings.batch_size):
            lost = rows[~self._holds(rows, self.witness[rows])]
            self.broken[lost], self.found_at[lost], self.witness[lost] = False, -1, self.x[lost]

    @torch.no_grad()
    def _holds(self, rows: Tensor, witness: Tensor) -> Tensor:
        if not len(rows):
            return rows > 0
        found = Search(witness.unsqueeze(0), rows, rows)
        return verified(self.classifier, self.x[rows].unsqueeze(0), self.settings.radius, found)[0]

    @torch.no_grad()
    def _scored(self, x: Tensor) -> Tensor:
        parts = torch.split(x, self.settings.batch_size)
        return torch.cat([self.classifier(part.unsqueeze(0))[0] for part in parts])


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


def _check(x: Tensor, settings: _Settings) -> None:
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
        ("batch_size", settings.batch_size, 1),
        ("splits", settings.splits or 0, 0),
    ):
        if count < least:
            raise InputError(f"{name} must be {least} or more, got {count}")

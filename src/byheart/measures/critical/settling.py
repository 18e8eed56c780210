"""Samples, settled the cheapest way first: proofs, corners, dearer proofs, and the search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.critical.corners import corners
from byheart.measures.critical.lass import Box, Search, lass
from byheart.measures.critical.noise import OwnNoise
from byheart.measures.critical.prover import HOPELESS, SPLITS, Glance, Prover, Samples
from byheart.measures.critical.tracing import UnknownLayerError

PROOF = 0.05
"""What slopes and cuts may cost, as a share of searching all samples to the limit."""
LOOKED = 0.3
"""Of what a relaxation loses, the share that a closer look may win back."""


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


@dataclass(frozen=True)
class Settings:
    """What :func:`byheart.critical_samples` is asked for."""

    radius: float
    step: float
    noise: float
    max_steps: int
    certify: bool
    splits: int | None
    control: bool
    seed: int
    batch_size: int


class SingleModel:
    """One module as a pack of a single replica."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits = self.model(x[0])
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != x.shape[1]:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"the model must map [N, ...] to logits [N, classes]: for N = {x.shape[1]} it "
                f"returned {got}"
            )
        return logits.unsqueeze(0)

    def select(self, replicas: Tensor) -> SingleModel:
        """Return the one replica there is."""
        del replicas
        return self


class Settling:
    """What is known of all samples, as it grows.

    Attributes:
        found_at: int64 [N], -1 where the search found nothing.
        witness: [N, *shape] where something was found, else the input.
        broken: bool [N], there is a witness, not yet scored again.
        certified: bool [N].
    """

    def __init__(self, classifier: SingleModel, x: Tensor, settings: Settings) -> None:
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
        seen = None if prover is None else self._cheaply(prover.glance, self.open)
        self._corners(seen)
        if prover is not None and seen is not None:
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

    def _corners(self, seen: Glance | None) -> None:
        for rows in self._batches(self.open):
            x, box, start = self.x[rows], self._box(rows), None
            if seen is not None:
                # Where the network is linear in the box, the relaxation is the network.
                away = 2.0 * self.settings.radius * seen.slope[rows].sign().to(x.dtype)
                start = box.project(x - away.reshape(x.shape))
            found, witness = corners(
                self.classifier.model, x, self.predicted[rows], box, start=start
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
            near = rows[(seen.lacking[rows] < LOOKED) & (seen.passes[rows] > search)]
            if len(near):
                closer = self._cheaply(prover.look, near)
                seen.lacking[near], seen.passes[near] = closer.lacking, closer.passes
                rows = rows[~self.certified[rows]]
            rows = rows[seen.passes[rows] <= search]
            rows, splits = rows[seen.lacking[rows].argsort(stable=True)], SPLITS
        found = prover.settle(self.samples.take(rows), splits, purse)
        rows = rows[: len(found.proved)]
        self.certified[rows] = found.proved
        self.broken[rows[found.broken]] = True
        self.witness[rows[found.broken]] = found.witness[found.broken]

    def _lass(self) -> None:
        # Also where a proof has found a witness: what the search finds shall not depend on proofs.
        searched = (~self.certified & (self.found_at < 0)).nonzero().squeeze(1)
        for rows in self._batches(searched):
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
        for rows in self._batches((~self.certified).nonzero().squeeze(1)):
            search = self._search(rows, 0.0)
            found[rows] = (search.found_at[0] >= 0) & self._holds(rows, search.witness[0])
        return float(found.double().mean())

    def _batches(self, rows: Tensor) -> Sequence[Tensor]:
        return torch.split(rows, self.settings.batch_size) if len(rows) else ()

    def _keep(self, rows: Tensor, witness: Tensor, found_at: Tensor | int) -> None:
        self.broken[rows] = True
        self.witness[rows], self.found_at[rows] = witness, found_at

    def _verify(self) -> None:
        """Forget the witnesses that do not hold when they are projected and scored again."""
        for rows in self._batches(self.broken.nonzero().squeeze(1)):
            lost = rows[~self._holds(rows, self.witness[rows])]
            self.broken[lost], self.found_at[lost], self.witness[lost] = False, -1, self.x[lost]

    @torch.no_grad()
    def _holds(self, rows: Tensor, witness: Tensor) -> Tensor:
        """Return which witnesses are of another class than their inputs, in batches alike."""
        inside = self._box(rows).project(witness)
        return self._scored(inside).argmax(-1) != self._scored(self.x[rows]).argmax(-1)

    def _box(self, rows: Tensor) -> Box:
        """Return the boxes around some samples, none of which was settled at a glance."""
        box, at = self._boxes
        return box.take(at[rows])

    @cached_property
    def _boxes(self) -> tuple[Box, Tensor]:
        # Not around all samples: most are settled at a glance, and float64 takes its time.
        rows = self.open
        at = torch.zeros_like(self.predicted)
        at[rows] = torch.arange(len(rows), device=at.device)
        return Box.around(self.x[rows], self.settings.radius), at

    @torch.no_grad()
    def _scored(self, x: Tensor) -> Tensor:
        parts = torch.split(x, self.settings.batch_size)
        return torch.cat([self.classifier(part.unsqueeze(0))[0] for part in parts])

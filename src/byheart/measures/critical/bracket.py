"""Both sides of the critical sample ratio: samples proved critical, and samples proved not.

:class:`Bracket` holds them for all networks of a pack. :func:`byheart.critical_samples` is its case
of one network; :mod:`byheart.training.probe_critical` uses it for the packs of a study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from byheart.measures.critical.certificate import CheapBounds, Prover, Samples, certificate
from byheart.measures.critical.lass import Box, Classifier, Noise, lass, verified
from byheart.measures.critical.tracing import UnknownLayerError

CORNERS = 2
"""Number of corners to try, each from the one before: a third finds almost nothing."""
SPLITS = 100
"""Largest number of splits per sample, if ``splits`` is None."""
BUDGET_SHARE = 0.05
"""Largest cost of slopes and splits, as a fraction of searching all samples to the limit."""
CLOSER_BELOW = 0.3
"""Spectral bounds are tried if :attr:`CheapBounds.gap` is below this."""


class Networks(Classifier, Protocol):
    """A pack of R networks: :class:`byheart.networks.base.PackNetwork`, or :class:`SingleModel`."""

    def module(self, replica: int) -> nn.Module:
        """Return one network, in eval mode."""
        ...


@dataclass(frozen=True)
class Settings:
    """How the boxes are searched.

    Attributes:
        radius: radius of the boxes, in the unit of the inputs.
        step: along the sign of the gradient.
        noise: standard deviation.
        max_steps: iteration limit.
        batch_size: inputs of each network that are searched together; all if None.
    """

    radius: float
    step: float
    noise: float
    max_steps: int
    batch_size: int | None = None


class Bracket:
    """What is known of N samples of R networks. Each method settles some of the open ones.

    Attributes:
        critical: bool [R, N], a witness was found, projected on the box again and scored again.
        certified: bool [R, N], proved not critical.
        found_at: int64 [R, N], iteration at which the search found a witness, 0 for the corners
            before it and for samples known to be critical; -1 elsewhere.
        witness: [R, N, *shape], else the input itself.
        uncertified_layer: the layer that the certificate does not know, if there is one.
    """

    def __init__(
        self,
        networks: Networks,
        x: Tensor,
        settings: Settings,
        draw: Callable[[Tensor], Noise],
        *,
        critical: Tensor | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        """Start with samples of which nothing is known.

        Args:
            networks: in eval mode.
            x: [R, N, *shape] inputs.
            settings: settings of the search.
            draw: returns the noise of some samples, given by their numbers.
            critical: bool [R, N], samples that are known to be critical.
            shape: shape of one input, as modules take it; that of x if None.
        """
        self.networks, self.x, self.settings, self.draw = networks, x, settings, draw
        self.shape = tuple(x.shape[2:] if shape is None else shape)
        self.certified = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        self.critical = self.certified.clone() if critical is None else critical.clone()
        self.found_at = self.critical.long() - 1
        self.witness = x.clone()
        self.uncertified_layer: str | None = None

    @property
    def success(self) -> Tensor:
        """Share of samples found critical by each iteration, [R, max_steps + 1] float64."""
        by = torch.arange(self.settings.max_steps + 1, device=self.x.device)
        found = (self.found_at >= 0).unsqueeze(2) & (self.found_at.unsqueeze(2) <= by)
        return found.cpu().double().mean(1)

    def search(self) -> None:
        """Search all samples that are not certified and that no search has found critical.

        Also where a proof has found a witness: what the search finds shall not depend on proofs.
        """
        wanted = ~self.certified & (self.found_at < 0)
        for columns in self._batches(wanted.any(0).nonzero().squeeze(1)):
            everything = len(columns) == self.x.shape[1]
            x = self.x if everything else self.x[:, columns]
            search = lass(
                self.networks,
                x,
                self.settings.radius,
                step=self.settings.step,
                noise=self.settings.noise,
                max_steps=self.settings.max_steps,
                draw=self.draw(columns),
                settled=~wanted[:, columns],
            )
            hit = (search.found_at >= 0).any(0)
            replicas = torch.arange(len(x), device=x.device)
            self._keep(replicas, columns[hit], search.witness[:, hit], search.found_at[:, hit])

    def control(self) -> Tensor:
        """Return which samples noise alone finds critical, bool [R, N]."""
        settings = replace(self.settings, step=0.0)
        by_noise = Bracket(self.networks, self.x, settings, self.draw)
        by_noise.certified = self.certified
        by_noise.search()
        return by_noise.critical

    def prove(self, samples: Tensor) -> None:
        """Certify what bounds and slopes can certify of some open samples, without a limit of cost.

        Args:
            samples: bool [R, n], of the first n samples.
        """
        count = samples.shape[1]
        with torch.no_grad():
            predicted = self.networks(self.x[:, :count]).argmax(-1)
        for replica, wanted in enumerate(samples & ~self.critical[:, :count]):
            rows = wanted.nonzero().squeeze(1)
            proof = certificate(
                self.networks.module(replica),
                self._inputs(replica, rows),
                predicted[replica, rows],
                self.settings.radius,
            )
            self.certified[replica, rows] = proof.certified
            if proof.uncertified_layer is not None:
                self.uncertified_layer = proof.uncertified_layer
                return

    def settle_cheaply(self, logits: Tensor, *, certify: bool, splits: int | None) -> None:
        """Settle what costs less than a search: cheap proofs, corners, then costlier proofs.

        Args:
            logits: [R, N, classes].
            certify: whether to prove anything.
            splits: see :func:`byheart.critical_samples`.
        """
        for replica in range(len(self.x)):
            model, x = self.networks.module(replica), self._inputs(replica, slice(None))
            samples = Samples.from_logits(x, logits[replica].argmax(-1), logits[replica])
            prover, cheap = None, None
            if certify:
                try:
                    prover = Prover.of(model, x, self.settings.radius)
                except UnknownLayerError as unknown:
                    self.uncertified_layer = str(unknown)
            if prover is not None:
                with torch.no_grad():
                    cheap = prover.cheap_bounds(samples)
                self.certified[replica] = cheap.certified
            for rows in self._batches(self._open(replica)):
                part = samples.take(rows)
                box = Box.around(part.x, self.settings.radius)
                refuted, witness = corners(model, part.x, part.predicted, box)
                self._keep_of(replica, rows[refuted], witness[refuted], 0)
            if prover is not None and cheap is not None:
                self._prove_by_price(replica, prover, samples, cheap, splits)

    @torch.no_grad()
    def _prove_by_price(
        self,
        replica: int,
        prover: Prover,
        samples: Samples,
        cheap: CheapBounds,
        splits: int | None,
    ) -> None:
        """Try the costly proofs on all open samples, or on those for which they may pay.

        Costs are counted in forward passes of one input: an iteration of the search takes two.
        Bounding the undecided ReLUs of a sample may cost as much as its search, which is not needed
        if the proof succeeds.
        """
        rows, budget = self._open(replica), None
        if splits is None:
            search = 2 * self.settings.max_steps
            budget = int(BUDGET_SHARE * search * len(samples))
            near = rows[(cheap.gap[rows] < CLOSER_BELOW) & (cheap.passes[rows] > search)]
            if len(near):
                closer = prover.spectral_bounds(samples.take(near))
                self.certified[replica, near] = closer.certified
                cheap.gap[near], cheap.passes[near] = closer.gap, closer.passes
                rows = self._open(replica)
            rows = rows[cheap.passes[rows] <= search]
            rows, splits = rows[cheap.gap[rows].argsort(stable=True)], SPLITS
        proof = prover.prove(samples.take(rows), splits, budget)
        rows = rows[: len(proof.certified)]
        self.certified[replica, rows] = proof.certified
        self._keep_of(replica, rows[proof.refuted], proof.witness[proof.refuted], None)

    def _keep_of(self, replica: int, rows: Tensor, witness: Tensor, found_at: int | None) -> None:
        """Keep witnesses of one network, found by the search before iteration 1 or by a proof."""
        if len(rows):
            at = None if found_at is None else torch.full_like(rows, found_at).unsqueeze(0)
            witness = witness.reshape(1, len(rows), *self.x.shape[2:])
            self._keep(rows.new_tensor([replica]), rows, witness, at)

    @torch.no_grad()
    def _keep(
        self, replicas: Tensor, columns: Tensor, witness: Tensor, found_at: Tensor | None
    ) -> None:
        """Keep the witnesses that hold when they are projected on the box again and scored again.

        Args:
            replicas: [R'] networks.
            columns: [n] samples.
            witness: [R', n, *shape].
            found_at: int64 [R', n], -1 where there is no witness; None if a proof found them all.
        """
        if not len(columns):
            return
        index = (replicas.unsqueeze(1), columns.unsqueeze(0))
        everyone = len(replicas) == len(self.x)
        networks = self.networks if everyone else self.networks.select(replicas)
        holds = verified(networks, self.x[index], self.settings.radius, witness)
        if found_at is not None:
            holds &= found_at >= 0
            self.found_at[index] = torch.where(holds, found_at, self.found_at[index])
        self.critical[index] |= holds
        mask = holds.reshape(*holds.shape, *[1] * (witness.dim() - 2))
        self.witness[index] = torch.where(mask, witness, self.witness[index])

    def _open(self, replica: int) -> Tensor:
        """Return the samples of a network that nothing has settled, as indices."""
        settled = self.critical[replica] | self.certified[replica]
        return (~settled).nonzero().squeeze(1)

    def _inputs(self, replica: int, rows: Tensor | slice) -> Tensor:
        return self.x[replica, rows].reshape(-1, *self.shape)

    def _batches(self, rows: Tensor) -> Sequence[Tensor]:
        return torch.split(rows, self.settings.batch_size or len(rows)) if len(rows) else ()


def corners(model: nn.Module, x: Tensor, predicted: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    r"""Try the corner of each box that is best against the strongest rival of the predicted class.

    Formula: x~ <- the corner of the box around x that minimises <grad_x~ (z_k - z_j)(x~), .> for
    the predicted class k and the rival j = argmax_{j != k} z_j(x~), from x~ = x on. Where the
    network is linear in the box and no other rival matters, the first corner decides.

    Args:
        model: in eval mode.
        x: [N, *shape] inputs.
        predicted: [N] int64, the class predicted at each.
        box: around each.

    Returns:
        bool [N], another class is predicted at the corner; [N, *shape] that corner, else x.

    Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015), section 4, for
    one step; Carlini and Wagner (2017), section V, for the margin in place of the loss.
    """
    refuted, witness = torch.zeros_like(predicted, dtype=torch.bool), x.clone()
    rows, at = torch.arange(len(x), device=x.device), x
    for _ in range(CORNERS):
        slope = _slope(model, at, predicted[rows])
        at = torch.where(slope > 0, box.low[rows], box.high[rows])
        with torch.no_grad():
            flipped = model(at.clone()).argmax(1) != predicted[rows]
        refuted[rows[flipped]], witness[rows[flipped]] = True, at[flipped]
        rows, at = rows[~flipped], at[~flipped]
        if not len(rows):
            break
    return refuted, witness


def _slope(model: nn.Module, at: Tensor, predicted: Tensor) -> Tensor:
    """Return the gradient of the margin to the strongest rival."""
    index = predicted.unsqueeze(1)
    with torch.enable_grad():
        point = at.detach().requires_grad_()
        logits = model(point)
        rival = logits.detach().scatter(1, index, float("-inf")).argmax(1, keepdim=True)
        margin = logits.gather(1, index) - logits.gather(1, rival)
        slope: Tensor = torch.autograd.grad(margin.sum(), point)[0]
    return slope

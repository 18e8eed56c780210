"""The bracket of the critical sample ratio of every network of a pack."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from byheart.measures.critical.certificate import Certificate, certificate
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass, verified
from byheart.networks.base import PackNetwork
from byheart.seeds import seed
from byheart.training.examples import Examples
from byheart.trial import CriticalProbe

Ratios = NDArray[np.generic]


def measure_critical(
    probe: CriticalProbe, epoch: int, network: PackNetwork, examples: Examples
) -> dict[str, Ratios]:
    """Return what the probe measures on each replica at an epoch.

    The search bounds the ratio from below, the certificate from above. The certificate looks at the
    first ``certify_examples`` only; the upper bound is the lower one plus the share of these that
    neither side settles.
    """
    last = epoch == max(probe.epochs)
    validation = examples.inputs(examples.validation_rows[:, : probe.examples])
    searched = [_Searched(network, validation, probe.radii, probe.max_steps, examples.shape)]
    names = ["validation"]
    if probe.train_radii:
        train = examples.inputs(examples.train_rows[:, : probe.examples])
        searched.append(
            _Searched(network, train, probe.train_radii, probe.max_steps, examples.shape)
        )
        names.append("train")
    measured = {}
    for name, one in zip(names, searched, strict=True):
        found = one.run()
        measured[name] = found.ratios
        if probe.certify_epochs:
            radii: Sequence[float] = ()
            if epoch in probe.certify_epochs:
                radii = one.radii if last else probe.certify_radii
            upper, layer = one.upper(found, radii, probe.certify_examples)
            measured[f"{name}_upper"] = upper
            if layer is not None:
                text = np.frombuffer(layer.encode(), dtype=np.uint8)
                measured["uncertified_layer"] = np.tile(text, (network.replicas, 1))
        if name == "validation" and last:
            measured["success"] = found.curves
            measured["control"] = one.run(step_per_radius=0.0).ratios
    return measured


@dataclass(frozen=True)
class _Found:
    """What searches at ascending radii found.

    Attributes:
        broken: for each radius bool [R, N], critical for certain.
        curves: [R, max_steps + 1, radii] share found by each iteration.
    """

    broken: list[Tensor]
    curves: Ratios

    @property
    def ratios(self) -> Ratios:
        """The critical sample ratio as far as the search found, [R, radii]."""
        return torch.stack([one.cpu().double().mean(1) for one in self.broken], 1).numpy()


@dataclass(frozen=True)
class _Searched:
    """Examples in whose boxes other classes are sought.

    Attributes:
        network: the replicas.
        x: [R, N, inputs].
        radii: ascending.
        max_steps: iteration limit of the search.
        shape: of one example.
    """

    network: PackNetwork
    x: Tensor
    radii: Sequence[float]
    max_steps: int
    shape: tuple[int, ...]

    def run(self, *, step_per_radius: float = STEP_PER_RADIUS) -> _Found:
        """Search at every radius.

        A witness in a small box is one in every larger box: what is settled at one radius is not
        searched again at the next, and counts there as found at iteration 0.
        """
        settled = torch.zeros(self.x.shape[:2], dtype=torch.bool, device=self.x.device)
        broken, curves = [], []
        for radius in self.radii:
            found = lass(
                self.network,
                self.x,
                radius,
                step=step_per_radius * radius,
                noise=NOISE_PER_RADIUS * radius,
                max_steps=self.max_steps,
                generator=torch.Generator().manual_seed(seed("lass", radius) % 2**63),
                settled=settled,
            )
            witnessed = verified(self.network, self.x, radius, found)
            at = torch.where(settled, 0, torch.where(witnessed, found.found_at, -1))
            settled = at >= 0
            by = torch.arange(self.max_steps + 1, device=self.x.device)
            curves.append(((at[..., None] <= by) & settled[..., None]).cpu().double().mean(1))
            broken.append(settled)
        return _Found(broken, torch.stack(curves, 2).numpy())

    def upper(
        self, found: _Found, radii: Collection[float], count: int
    ) -> tuple[Ratios, str | None]:
        """Return upper bounds [R, radii], NaN at other radii, and a layer that has no certificate.

        Args:
            found: by the search; what it broke needs no certificate.
            radii: to certify at.
            count: examples to certify, from the first.
        """
        bounds = np.full(found.ratios.shape, np.nan)
        wanted = [index for index, radius in enumerate(self.radii) if radius in radii]
        if not wanted:
            return bounds, None
        x = self.x[:, :count]
        predicted = self.network(x).argmax(-1)
        for replica in range(self.network.replicas):
            model = self.network.module(replica)
            inputs = x[replica].reshape(-1, *self.shape)
            left = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
            for index in wanted:
                # What is not proved in a small box is not proved in a larger one.
                broken = found.broken[index][replica, :count]
                tried = left & ~broken
                proof = _prove(model, inputs[tried], predicted[replica, tried], self.radii[index])
                if proof.uncertified_layer is not None:
                    bounds[:, wanted] = 1.0
                    return bounds, proof.uncertified_layer
                left = tried.clone()
                left[tried] = proof.certified
                open_share = float((~broken & ~left).cpu().double().mean())
                bounds[replica, index] = min(1.0, found.ratios[replica, index] + open_share)
        return bounds, None


def _prove(model: nn.Module, x: Tensor, predicted: Tensor, radius: float) -> Certificate:
    if x.device.type == "mps":
        return Certificate(torch.zeros_like(predicted, dtype=torch.bool), "the device mps")
    if not len(x):
        return Certificate(torch.zeros_like(predicted, dtype=torch.bool))
    return certificate(model, x, predicted, radius)

"""The bracket of the critical sample ratio of every network of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.measures.critical.bracket import Bracket, Settings
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, Noise, SharedNoise
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
    parts = [("validation", examples.validation_rows, probe.radii)]
    if probe.train_radii:
        parts.append(("train", examples.train_rows, probe.train_radii))
    measured = {}
    for name, rows, radii in parts:
        x = examples.inputs(rows[:, : probe.examples])
        certified_radii: Sequence[float] = ()
        if epoch in probe.certify_epochs:
            certified_radii = radii if last else probe.certify_radii
        count = probe.certify_examples
        brackets = _brackets(
            network, x, radii, probe.max_steps, examples.shape, certified_radii, count
        )
        measured[name] = brackets.lower
        if probe.certify_epochs:
            measured[f"{name}_upper"] = brackets.upper
            if brackets.uncertified_layer is not None:
                text = np.frombuffer(brackets.uncertified_layer.encode(), dtype=np.uint8)
                measured["uncertified_layer"] = np.tile(text, (network.replicas, 1))
        if name == "validation" and last:
            by_noise = _brackets(
                network, x, radii, probe.max_steps, examples.shape, step_per_radius=0.0
            )
            measured["success"] = brackets.success
            measured["control"] = by_noise.lower
    return measured


@dataclass(frozen=True)
class _Brackets:
    """Brackets of the critical sample ratio at ascending radii.

    Attributes:
        lower: [R, radii], what the search found.
        upper: [R, radii], NaN at radii that were not certified.
        success: [R, max_steps + 1, radii] share found by each iteration.
        uncertified_layer: a layer that the certificate does not know.
    """

    lower: Ratios
    upper: Ratios
    success: Ratios
    uncertified_layer: str | None


def _brackets(
    network: PackNetwork,
    x: Tensor,
    radii: Sequence[float],
    max_steps: int,
    shape: Sequence[int],
    certified_radii: Sequence[float] = (),
    certify_examples: int = 0,
    step_per_radius: float = STEP_PER_RADIUS,
) -> _Brackets:
    """Return the brackets at every radius, with the same noise for all replicas.

    A witness in a small box is one in every larger box: what is critical at one radius is not
    searched again at the next, and counts there as found at iteration 0. What is not proved in a
    small box is not proved in a larger one.

    Args:
        network: the replicas.
        x: [R, N, inputs].
        radii: ascending.
        max_steps: iteration limit of the search.
        shape: shape of one example.
        certified_radii: radii to certify at.
        certify_examples: examples to certify, from the first.
        step_per_radius: 0 for the noise-only control.
    """
    critical, layer = None, None
    provable = torch.ones(x.shape[0], certify_examples, dtype=torch.bool, device=x.device)
    lower, upper, success = [], [], []
    for radius in radii:
        settings = Settings(radius, step_per_radius * radius, NOISE_PER_RADIUS * radius, max_steps)
        generator = torch.Generator().manual_seed(seed("lass", radius) % 2**63)

        def draw(numbers: Tensor, generator: torch.Generator = generator) -> Noise:
            return SharedNoise(generator, x[0], numbers)

        bracket = Bracket(network, x, settings, draw, critical=critical, shape=shape)
        bracket.search()
        critical = bracket.critical
        lower.append(critical.cpu().double().mean(1).numpy())
        success.append(bracket.success.numpy())
        bound = np.full_like(lower[-1], np.nan)
        if radius in certified_radii:
            if layer is None:
                bracket.prove(provable)
                layer = bracket.uncertified_layer
            provable = bracket.certified[:, :certify_examples]
            unsettled = ~critical[:, :certify_examples] & ~provable
            open_share = unsettled.cpu().double().mean(1).numpy()
            bound = np.minimum(1.0, lower[-1] + open_share)
        upper.append(bound)
    bounds = np.stack(upper, 1)
    if layer is not None:
        bounds[~np.isnan(bounds)] = 1.0
    return _Brackets(np.stack(lower, 1), bounds, np.stack(success, 2), layer)

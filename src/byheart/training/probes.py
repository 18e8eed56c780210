"""Measures taken at checkpoints while a pack trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, lass, verified
from byheart.networks.base import PackNetwork
from byheart.seeds import seed
from byheart.training.examples import Examples
from byheart.trial import AccuracyProbe, CorrectProbe, CriticalProbe, Probe

CHUNK = 256
"""Examples per forward pass and replica."""

Measured = dict[str, NDArray[np.generic]]
"""For each name an array whose first axis is the replicas."""


ONCE = {"correct.label", "critical.success", "critical.control"}
"""Arrays without an axis of checkpoints: the last that was measured stands."""


def take_probes(
    probes: Sequence[Probe],
    epoch: int,
    network: PackNetwork,
    examples: Examples,
    *,
    ended: bool = False,
) -> Measured:
    """Return what the probes due at this epoch measure, for all replicas.

    Args:
        probes: of the trials.
        epoch: epochs trained.
        network: the replicas.
        examples: theirs.
        ended: take those that are measured at the end of training, and no others.
    """
    measured: Measured = {}
    for probe in probes:
        if not (probe.at_end if ended else epoch in probe.epochs):
            continue
        match probe:
            case AccuracyProbe():
                taken = _accuracy(network, examples)
            case CorrectProbe():
                taken = _correct(network, examples)
            case CriticalProbe():
                taken = _critical(probe, network, examples, last=epoch == max(probe.epochs))
        measured[f"{probe.name}.epoch"] = np.full(network.replicas, epoch, dtype=np.int64)
        measured |= {f"{probe.name}.{name}": values for name, values in taken.items()}
    return measured


def logits(network: PackNetwork, examples: Examples, rows: Tensor) -> Tensor:
    """Return the logits [R, N, classes] of rows [R, N], a chunk of examples at a time."""
    parts = [network(examples.inputs(part)) for part in torch.split(rows, CHUNK, dim=1)]
    return torch.cat(parts, dim=1)


def _accuracy(network: PackNetwork, examples: Examples) -> Measured:
    # Means are taken in float64, which not every device has.
    scores = logits(network, examples, examples.train_rows).cpu()
    labels, noisy = examples.train_y.cpu(), examples.noisy.cpu()
    correct = scores.argmax(-1) == labels
    loss = torch.logsumexp(scores, -1) - scores.gather(-1, labels[..., None])[..., 0]
    measured = {
        "train": correct.double().mean(1),
        "train_clean": _mean_where(correct, ~noisy),
        "train_noisy": _mean_where(correct, noisy),
        "train_loss": loss.double().mean(1),
    }
    if examples.validation_rows.shape[1]:
        guess = logits(network, examples, examples.validation_rows).argmax(-1)
        measured["validation"] = (guess == examples.validation_y).cpu().double().mean(1)
    return {name: values.numpy() for name, values in measured.items()}


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the examples of a mask, NaN where it is empty: [R, n] -> [R]."""
    return (values & mask).double().sum(1) / mask.double().sum(1)


def _correct(network: PackNetwork, examples: Examples) -> Measured:
    guess = logits(network, examples, examples.train_rows).argmax(-1)
    bits = np.packbits((guess == examples.train_y).cpu().numpy(), axis=1)
    return {"bits": bits, "label": examples.train_y.cpu().numpy()}


def _critical(
    probe: CriticalProbe, network: PackNetwork, examples: Examples, *, last: bool
) -> Measured:
    validation = examples.inputs(examples.validation_rows[:, : probe.examples])
    ratio, success = _ratios(network, validation, probe.radii, probe.max_steps)
    measured = {"validation": ratio}
    if probe.train_radii:
        train = examples.inputs(examples.train_rows[:, : probe.examples])
        measured["train"] = _ratios(network, train, probe.train_radii, probe.max_steps)[0]
    if last:
        measured["success"] = success
        measured["control"] = _ratios(
            network, validation, probe.radii, probe.max_steps, step_per_radius=0.0
        )[0]
    return measured


def _ratios(
    network: PackNetwork,
    x: Tensor,
    radii: Sequence[float],
    max_steps: int,
    *,
    step_per_radius: float = STEP_PER_RADIUS,
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return the ratio at each radius [R, radii], and by iteration [R, max_steps + 1, radii].

    Radii ascend, and a witness in a small box is one in every larger box: what is settled at one
    radius is not searched again at the next, and counts there as found at iteration 0.
    """
    settled = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    ratios, curves = [], []
    for radius in radii:
        generator = torch.Generator().manual_seed(seed("lass", radius) % 2**63)
        found = lass(
            network,
            x,
            radius,
            step=step_per_radius * radius,
            noise=NOISE_PER_RADIUS * radius,
            max_steps=max_steps,
            generator=generator,
            settled=settled,
        )
        witnessed = verified(network, x, radius, found)
        at = torch.where(settled, 0, torch.where(witnessed, found.found_at, -1))
        settled = at >= 0
        by = torch.arange(max_steps + 1, device=x.device)
        curves.append(((at[..., None] <= by) & settled[..., None]).cpu().double().mean(1))
        ratios.append(settled.cpu().double().mean(1))
    return torch.stack(ratios, 1).numpy(), torch.stack(curves, 2).numpy()

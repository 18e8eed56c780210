"""Measures taken at checkpoints while a pack trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.errors import InputError
from byheart.measures.online_sharpness import pack_online_sharpness
from byheart.measures.sharpness import pack_sharpness
from byheart.measures.training_loss import PackData
from byheart.networks.base import PackNetwork
from byheart.networks.cnn import ReplicatedCNN
from byheart.training.examples import Examples
from byheart.training.probe_critical import measure_critical
from byheart.trial import (
    AccuracyProbe,
    CorrectProbe,
    CriticalProbe,
    FiltersProbe,
    Probe,
    SharpnessProbe,
)

Measured = dict[str, NDArray[np.generic]]
"""For each name an array whose first axis is the replicas."""


ONCE = {"correct.label", "critical.success", "critical.control", "critical.uncertified_layer"}
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
        probes: probes of the trials.
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
                taken = measure_critical(probe, epoch, network, examples)
            case FiltersProbe():
                taken = _filters(network)
            case SharpnessProbe():
                accuracy = _accuracy(network, examples)
                taken = _sharpness(probe, network, examples)
                taken |= {name: accuracy[name] for name in ("train", "train_loss")}
        measured[f"{probe.name}.epoch"] = np.full(network.replicas, epoch, dtype=np.int64)
        measured |= {f"{probe.name}.{name}": values for name, values in taken.items()}
    return measured


def _accuracy(network: PackNetwork, examples: Examples) -> Measured:
    # Means are taken in float64, which not every device has.
    scores = examples.logits(network, examples.train_rows).cpu()
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
        guess = examples.logits(network, examples.validation_rows).argmax(-1)
        measured["validation"] = (guess == examples.validation_y).cpu().double().mean(1)
    return {name: values.numpy() for name, values in measured.items()}


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the examples of a mask, NaN where it is empty: [R, n] -> [R]."""
    return (values & mask).double().sum(1) / mask.double().sum(1)


def _correct(network: PackNetwork, examples: Examples) -> Measured:
    guess = examples.logits(network, examples.train_rows).argmax(-1)
    bits = np.packbits((guess == examples.train_y).cpu().numpy(), axis=1)
    return {"bits": bits, "label": examples.train_y.cpu().numpy()}


def _filters(network: PackNetwork) -> Measured:
    """Return the weights [R, filters, channels, k, k] of the first convolution, float32.

    Raises:
        InputError: the network has no convolution.
    """
    if not isinstance(network, ReplicatedCNN) or not network.filters:
        raise InputError("filters are looked at on CNNs: train a network with a convolution")
    return {"weights": network.filters[0].float().cpu().numpy().copy()}


def _sharpness(probe: SharpnessProbe, network: PackNetwork, examples: Examples) -> Measured:
    """Return what the probe measures on each replica, with its whole training set.

    An eigenvalue whose residual did not come within the tolerance is NaN; its residual is kept.
    """
    data = PackData(examples.pool, examples.train_rows, examples.train_y)
    plain, relative = (
        pack_sharpness(
            network,
            data,
            tolerance=probe.tolerance,
            max_iterations=probe.max_iterations,
            scale_invariant=scale_invariant,
        )
        for scale_invariant in (False, True)
    )
    measured: Measured = {
        "eigenvalue": np.where(plain.converged, plain.eigenvalue, np.nan),
        "residual": plain.residual,
        "iterations": plain.iterations,
        "scale_invariant": np.where(relative.converged, relative.eigenvalue, np.nan),
        "scale_invariant_residual": relative.residual,
        "scale_invariant_iterations": relative.iterations,
    }
    if probe.online_iterations:
        measured["online"] = pack_online_sharpness(
            network,
            data,
            iterations=probe.online_iterations,
            batch_size=probe.online_batch_size,
        )[-1]
    return measured

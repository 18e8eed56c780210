"""What it costs to differentiate a whole training: arithmetic and memory."""

from __future__ import annotations

from byheart.measures.unrolled import kept_stride
from byheart.networks.size import NetworkSize
from byheart.training.sensitivity import updates_per_epoch
from byheart.trial import MLP, SensitivityProbe, Trial

NUMBER = 4
"""Bytes of a float32."""
COPIES = 3
"""Arrays of the size of what a batch receives that one update holds: it, a copy, activations."""


def adjoints_of(probe: SensitivityProbe, classes: int) -> list[int]:
    """Return the update at which each adjoint begins its way back; by class there are several."""
    return [t for t in probe.evaluate_at for _ in range(classes if t in probe.per_class_at else 1)]


def sweep_flops(probe: SensitivityProbe, trial: Trial, size: NetworkSize, classes: int) -> float:
    r"""Return the operations of a sweep, beside those of training once.

    Formula: with W weights, W_1 of them in the first layer, each adjoint that passes an update
    takes 12W - 4W_1 per example of the batch. Where the parameters of all updates find no room,
    each takes 6W - 2W_1 a second time. An MLP is linearised by its training; any other network
    takes 4W - 2W_1 more for it. An adjoint is born from 6W per training example.

    Args:
        probe: what is measured.
        trial: what is trained.
        size: of its network.
        classes: that the network tells apart.
    """
    weights, first = size.products, size.first_products
    born = adjoints_of(probe, classes)
    batch = trial.data.train / updates_per_epoch(trial)
    once = 0 if isinstance(trial.algorithm.network, MLP) else 4 * weights - 2 * first
    if kept_stride(born[-1], _update_bytes(trial, size)) > 1:
        once += 6 * weights - 2 * first
    return (
        born[-1] * batch * once
        + sum(born) * batch * (12 * weights - 4 * first)
        + len(born) * trial.data.train * 6 * weights
    )


def _update_bytes(trial: Trial, size: NetworkSize) -> int:
    """Return the memory of an update that is remembered."""
    numbers = size.parameters
    if isinstance(trial.algorithm.network, MLP):
        units = size.parameters - size.products  # a bias each
        numbers += 3 * units * min(trial.algorithm.batch_size, trial.data.train)
    return NUMBER * numbers


def sweep_bytes(
    probe: SensitivityProbe, trial: Trial, size: NetworkSize, inputs: int, classes: int
) -> int:
    """Return about how much memory a sweep holds, one replica at a time.

    The gradients of every adjoint with respect to every example, the adjoints, what is remembered
    of all updates or about 2 sqrt(T) of them, and one update.

    Args:
        probe: what is measured.
        trial: what is trained.
        size: of its network.
        inputs: numbers in an input.
        classes: that the network tells apart.
    """
    born, examples = adjoints_of(probe, classes), trial.data.train
    gradients = (len(born) + COPIES) * examples * inputs
    stride = kept_stride(born[-1], _update_bytes(trial, size))
    remembered = (born[-1] if stride == 1 else 2 * stride) * _update_bytes(trial, size)
    update = COPIES * len(born) * trial.algorithm.batch_size * size.activations
    return NUMBER * (gradients + len(born) * size.parameters + update) + remembered

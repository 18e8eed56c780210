"""Count the FLOPs and the memory of a plan before it runs."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Literal, get_args

from byheart.measures.critical.branching import ROOT_STEPS
from byheart.measures.mlp_loss import MAX_STORED_BYTES
from byheart.measures.sharpness import LANCZOS_VECTORS, MAX_BASIS_BYTES
from byheart.measures.unrolled import kept_stride
from byheart.networks.size import NetworkSize
from byheart.training.examples import CHUNK
from byheart.training.packs import Pack, trial_size
from byheart.training.regularizers.adversarial import SEARCH_STEPS
from byheart.training.sensitivity import sensitivity_probe, updates_per_epoch
from byheart.trial import (
    MLP,
    AccuracyProbe,
    CorrectProbe,
    CriticalProbe,
    SensitivityProbe,
    SharpnessProbe,
    Trial,
)

WorkKind = Literal["training", "forward", "search", "certificate", "curvature", "online", "sweep"]
KINDS: tuple[WorkKind, ...] = get_args(WorkKind)
"""Kinds of work whose FLOP rates are measured separately.

``curvature`` is products with the Hessian, ``online`` the on-line estimate of sharpness, and
``sweep`` the backward pass of loss-sensitivity over all updates.
"""
EPOCHS_SPENT = {"budget": (1.0, 1.0), "converged": (0.15, 0.4), "loss": (0.15, 0.4)}
"""Share of the epoch budget that trials spend, by stopping rule: without and with noisy labels.

Rounded from the stored trials of the quick and desk presets, weighted by their operations.
"""
WORK_DONE: Mapping[WorkKind, float] = {"certificate": 0.6, "curvature": 0.15}
"""Share of the counted operations that is done: cheap bounds decide, eigenvalues converge."""
FLOAT32_BYTES = 4
SEARCH_INPUT_COPIES = 10
"""Tensors of the inputs' size in one search: point, witness, box, noise, gradient."""
BATCH_COPIES = 3
"""Arrays of the batch gradient's size in one backward update: gradient, copy, activations."""


def share_done(trial: Trial, kind: WorkKind) -> float:
    """Return the share of a trial's counted operations of a kind that it is expected to do."""
    if kind != "training":
        return WORK_DONE.get(kind, 1.0)
    clean, noisy = EPOCHS_SPENT[trial.algorithm.stop]
    return noisy if trial.data.labels > 0 else clean


def expected_flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    """Return the FLOPs to expect: those of :func:`flops_by_kind` times :func:`share_done`.

    Args:
        trial: the trial.
        shape: shape of one input.
        classes: number of classes.
    """
    by_kind = flops_by_kind(trial, shape, classes)
    return sum(share_done(trial, kind) * count for kind, count in by_kind.items())


def flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    """Return the FLOPs of a trial that trains for all its epochs.

    Args:
        trial: the trial.
        shape: shape of one input.
        classes: number of classes.
    """
    return sum(flops_by_kind(trial, shape, classes).values())


def flops_by_kind(trial: Trial, shape: tuple[int, ...], classes: int) -> dict[WorkKind, float]:
    r"""Return the FLOPs of a trial that trains for all its epochs, by kind of work.

    Formula: with W weights, W_1 of them in the first layer, a training example costs 2W forward,
    2W for the gradients of the weights and 2 (W - W_1) for those of the activations; a probe's
    forward pass 2W; an iteration of the search 4W (classifying a point and its gradient share a
    forward pass), and a search two more forward passes. Searches count to their limit; activation
    functions do not count. This is an upper bound for trials and searches that stop early.

    Args:
        trial: the trial.
        shape: shape of one input.
        classes: number of classes.

    Returns:
        FLOPs of each kind of work in the trial.
    """
    size = trial_size(trial, shape, classes)
    weights = size.products
    data, budget = trial.data, trial.algorithm.epochs
    total: defaultdict[WorkKind, float] = defaultdict(float)
    total["training"] = budget * data.train * example_flops(trial, size)
    for probe in trial.probes:
        times = sum(epoch <= budget for epoch in probe.epochs)
        match probe:
            case AccuracyProbe():
                total["forward"] += times * 2 * weights * (data.train + data.validation)
            case CorrectProbe():
                total["forward"] += times * 2 * weights * data.train
            case CriticalProbe():
                total["search"] += search_flops(probe, times, weights)
                per_certificate = certificate_flops(trial, shape, classes)
                certificates = probe.certify_examples * _certificates_per_example(probe, budget)
                total["certificate"] += per_certificate * certificates
            case SensitivityProbe():
                total["sweep"] += sweep_flops(probe, trial, size, data.outputs(classes))
            case SharpnessProbe():
                total["curvature"] += curvature_flops(probe, data.train, size)
                total["online"] += online_flops(probe, data.train, size)
                total["forward"] += 2 * weights * data.train
    return {kind: count for kind, count in total.items() if count}


def search_flops(probe: CriticalProbe, times: int, weights: int) -> float:
    """Return the FLOPs of searches that go to their limit, at ``times`` checkpoints.

    Args:
        probe: the search.
        times: number of checkpoints.
        weights: number of weights W.
    """
    searched = probe.examples * (len(probe.radii) + len(probe.train_radii))
    # The random-noise baseline uses forward passes only, at one checkpoint.
    control = probe.examples * len(probe.radii) * (2 * probe.max_steps + 2)
    return float((times * searched * (4 * probe.max_steps + 4) + control) * weights)


def example_flops(trial: Trial, size: NetworkSize) -> float:
    r"""Return the FLOPs of one training step, per example.

    Formula: 6W - 2 W_1; with critical samples twice that, plus 4W for each of the k steps of their
    search, and 4W in total before and after it. Drawing noise is not counted.

    Args:
        trial: the trial; it may train on critical samples.
        size: its size.
    """
    gradient = 6 * size.products - 2 * size.first_products
    if trial.algorithm.adversarial_weight == 0:
        return float(gradient)
    return float(2 * gradient + 4 * (SEARCH_STEPS + 1) * size.products)


def certificate_flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    r"""Return the FLOPs of one example's certificate at one radius, at most.

    Formula: the lower and upper bound of each unit after layer 1 is propagated back to the input,
    4 w_l (W_1 + ... + W_l) for the w_l units of layer l; for other networks than MLPs, 4 w W is an
    upper bound. Then each class takes 2W for its bounds, and 6W for each of ``ROOT_STEPS`` steps of
    the optimiser that improves their slopes.

    Args:
        trial: the trial.
        shape: shape of one input.
        classes: number of classes.
    """
    size = trial_size(trial, shape, classes)
    seen, outputs = trial.data.seen_shape(shape), trial.data.outputs(classes)
    if isinstance(trial.algorithm.network, MLP):
        widths = (math.prod(seen), *trial.algorithm.network.hidden)
        products = list(itertools.accumulate(a * b for a, b in itertools.pairwise(widths)))
        units = sum(4 * w * p for w, p in zip(widths[2:], products[1:], strict=True))
    else:
        units = 4 * (size.activations - math.prod(seen) - outputs) * size.products
    return float(units + outputs * (2 + 6 * ROOT_STEPS) * size.products)


def _certificates_per_example(probe: CriticalProbe, budget: int) -> int:
    """Return the number of (checkpoint, radius) pairs at which an example is certified."""
    times = [epoch for epoch in probe.certify_epochs if epoch <= budget]
    in_train = bool(set(probe.train_radii) & set(probe.certify_radii))
    per_checkpoint = len(probe.certify_radii) + in_train
    # The last checkpoint certifies at every radius.
    last = len(probe.radii) + len(probe.train_radii) if max(probe.epochs) in times else 0
    return per_checkpoint * (len(times) - bool(last)) + last


def curvature_flops(probe: SharpnessProbe, train: int, size: NetworkSize) -> float:
    r"""Return the FLOPs of a sharpness probe's two eigenvalues, searched to the limit.

    Formula: with stored activations and gradients, a product with the Hessian takes 4W for
    Pearlmutter's R{.} forward, 4W backward and 4W for the gradients, minus 8 W_1: inputs have
    neither a tangent nor a gradient. One more product checks each eigenvalue. Operations on the
    Lanczos vectors are not counted.

    Args:
        probe: the probe.
        train: number of training examples.
        size: its size.
    """
    weights, first = size.products, size.first_products
    products = probe.max_iterations + 1
    return float(2 * train * (6 * weights - 2 * first + products * (12 * weights - 8 * first)))


def online_flops(probe: SharpnessProbe, train: int, size: NetworkSize) -> float:
    """Return the FLOPs of the on-line estimator: two gradients per iteration.

    Args:
        probe: the probe.
        train: number of training examples.
        size: its size.
    """
    batch = min(probe.online_batch_size, train)
    gradient = 6 * size.products - 2 * size.first_products
    return float(2 * probe.online_iterations * batch * gradient)


def pack_bytes(pack: Pack, shape: tuple[int, ...], classes: int) -> int:
    """Return the approximate peak memory of a pack in bytes, without data set and libraries.

    It is the sum of weights, momentum and shared inputs, plus the largest need of a chunk of
    examples, a search, an eigenvalue, and loss-sensitivity.

    Args:
        pack: the pack.
        shape: shape of one input.
        classes: number of classes.
    """
    first, replicas = pack.trials[0], len(pack.trials)
    size, inputs = trial_size(first, shape, classes), math.prod(first.data.seen_shape(shape))
    momentum = 2 if any(trial.algorithm.momentum for trial in pack.trials) else 1
    weights = FLOAT32_BYTES * replicas * momentum * size.parameters
    noise_by_seed = {trial.data.seed: 0.0 for trial in pack.trials}
    for trial in pack.trials:
        level = noise_by_seed[trial.data.seed]
        noise_by_seed[trial.data.seed] = max(level, trial.data.inputs)
    examples = first.data.train + first.data.validation
    distinct = sum(examples + round(level * first.data.train) for level in noise_by_seed.values())
    # Each replica has a row, a label and a mask for every example.
    shared = FLOAT32_BYTES * inputs * distinct + 3 * 8 * replicas * examples
    chunk = max(CHUNK, first.algorithm.batch_size)
    working = FLOAT32_BYTES * replicas * chunk * size.activations
    searched = max((p.examples for p in first.probes if isinstance(p, CriticalProbe)), default=0)
    search = FLOAT32_BYTES * replicas * searched * (SEARCH_INPUT_COPIES * inputs + size.activations)
    curvature = 0
    if any(isinstance(probe, SharpnessProbe) for probe in first.probes):
        vectors = min(FLOAT32_BYTES * replicas * LANCZOS_VECTORS * size.parameters, MAX_BASIS_BYTES)
        stored = min(
            FLOAT32_BYTES * replicas * first.data.train * 2 * size.activations, MAX_STORED_BYTES
        )
        curvature = max(vectors, FLOAT32_BYTES * LANCZOS_VECTORS * size.parameters) + stored
    sensitivity = sensitivity_probe(first)
    unrolled = 0
    if sensitivity is not None:
        unrolled = sweep_bytes(sensitivity, first, size, inputs, first.data.outputs(classes))
    return weights + shared + max(working, search, curvature, unrolled)


def adjoint_times(probe: SensitivityProbe, classes: int) -> list[int]:
    """Return the evaluation time of each adjoint: one per class at ``per_class_at``, else one."""
    return [t for t in probe.evaluate_at for _ in range(classes if t in probe.per_class_at else 1)]


def sweep_flops(probe: SensitivityProbe, trial: Trial, size: NetworkSize, classes: int) -> float:
    r"""Return the FLOPs of loss-sensitivity, without those of the training itself.

    Formula: with W weights, W_1 of them in the first layer, propagating one adjoint through an
    update takes 12W - 4W_1 per example of the batch. If the parameters of all updates do not fit in
    memory, each update is computed again for 6W - 2W_1. Networks other than MLPs take another
    4W - 2W_1 for the graph. Creating an adjoint takes 6W per training example.

    Args:
        probe: the probe.
        trial: the trial.
        size: its size.
        classes: number of outputs.
    """
    weights, first = size.products, size.first_products
    starts = adjoint_times(probe, classes)
    batch = trial.data.train / updates_per_epoch(trial)
    per_update = 0 if isinstance(trial.algorithm.network, MLP) else 4 * weights - 2 * first
    if kept_stride(starts[-1], _update_bytes(trial, size)) > 1:
        per_update += 6 * weights - 2 * first
    return (
        starts[-1] * batch * per_update
        + sum(starts) * batch * (12 * weights - 4 * first)
        + len(starts) * trial.data.train * 6 * weights
    )


def _update_bytes(trial: Trial, size: NetworkSize) -> int:
    """Return the memory of one stored update, in bytes."""
    numbers = size.parameters
    if isinstance(trial.algorithm.network, MLP):
        units = size.parameters - size.products  # one bias per unit
        numbers += 3 * units * min(trial.algorithm.batch_size, trial.data.train)
    return FLOAT32_BYTES * numbers


def sweep_bytes(
    probe: SensitivityProbe, trial: Trial, size: NetworkSize, inputs: int, classes: int
) -> int:
    """Return the approximate memory of loss-sensitivity in bytes; replicas run one at a time.

    It is the sum of the gradient of every adjoint with respect to every example, the adjoints, the
    stored updates (all, or about 2 sqrt(T)), and one update.

    Args:
        probe: the probe.
        trial: the trial.
        size: its size.
        inputs: number of elements of one input.
        classes: number of outputs.
    """
    starts, examples = adjoint_times(probe, classes), trial.data.train
    gradients = (len(starts) + BATCH_COPIES) * examples * inputs
    stride = kept_stride(starts[-1], _update_bytes(trial, size))
    stored = (starts[-1] if stride == 1 else 2 * stride) * _update_bytes(trial, size)
    update = BATCH_COPIES * len(starts) * trial.algorithm.batch_size * size.activations
    return FLOAT32_BYTES * (gradients + len(starts) * size.parameters + update) + stored

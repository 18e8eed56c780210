"""What a plan costs before it is run: arithmetic and memory."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Literal, get_args

from byheart.measures.critical.branching import FIRST_STEPS
from byheart.measures.mlp_loss import KEPT
from byheart.measures.sharpness import BASIS, WIDTH
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
"""Kinds of work that a machine does at speeds of their own."""
NUMBER = 4
"""Bytes of a float32."""
SEARCH_COPIES = 10
"""Tensors of the size of its inputs that a search holds: point, witness, box, noise, gradient."""
COPIES = 3
"""Arrays of the size of what a batch receives that one update holds: it, a copy, activations."""


def flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    """Return the floating-point operations of a trial that spends its whole budget.

    Args:
        trial: what is trained and measured.
        shape: of one input of the source.
        classes: of the source.
    """
    return sum(work(trial, shape, classes).values())


def work(trial: Trial, shape: tuple[int, ...], classes: int) -> dict[WorkKind, float]:
    r"""Return the floating-point operations of a trial that spends its whole budget, by kind.

    Formula: with W weights, W_1 of them in the first layer, a training example costs 2W forward,
    2W for the gradients of the weights and 2 (W - W_1) for those of the activations; a probe's
    forward pass 2W; an iteration of the search 4W (the verdict on a point and the gradient with
    respect to it share their forward pass), and a search two more forward passes. Searches count
    to their limit, and activation functions not at all: an upper bound for trials that stop early
    and searches that settle.

    Args:
        trial: what is trained and measured.
        shape: of one input of the source.
        classes: of the source.

    Returns:
        Operations of each kind of work that the trial has.
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
                certificates = probe.certify_examples * _certified(probe, budget)
                total["certificate"] += certificates * certificate_flops(trial, shape, classes)
            case SensitivityProbe():
                total["sweep"] += sweep_flops(probe, trial, size, data.outputs(classes))
            case SharpnessProbe():
                total["curvature"] += curvature_flops(probe, data.train, size)
                total["online"] += online_flops(probe, data.train, size)
                total["forward"] += 2 * weights * data.train
    return {kind: count for kind, count in total.items() if count}


def search_flops(probe: CriticalProbe, times: int, weights: int) -> float:
    """Return the operations of searches that go to their limit, at so many checkpoints.

    Args:
        probe: what is sought.
        times: checkpoints.
        weights: of the network.
    """
    searched = probe.examples * (len(probe.radii) + len(probe.train_radii))
    # The noise-only control needs no gradient and is taken once.
    control = probe.examples * len(probe.radii) * (2 * probe.max_steps + 2)
    return float((times * searched * (4 * probe.max_steps + 4) + control) * weights)


def example_flops(trial: Trial, size: NetworkSize) -> float:
    r"""Return the operations of training on one example once.

    Formula: 6W - 2 W_1; with critical samples twice that, and 4W for each of the k iterations of
    their search and 4W around them. Drawing noise is not counted.

    Args:
        trial: may train on critical samples.
        size: of the network.
    """
    gradient = 6 * size.products - 2 * size.first_products
    if trial.algorithm.adversarial_weight == 0:
        return float(gradient)
    return float(2 * gradient + 4 * (SEARCH_STEPS + 1) * size.products)


def certificate_flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    r"""Return the operations of one example's certificate at one radius, at most.

    Formula: a lower and an upper bound of each unit behind the first layer is followed back through
    the layers before it, 4 w_l (W_1 + ... + W_l) for the w_l units of layer l; of a network that is
    no MLP only the sum over all layers is known, and 4 w W stands for it. Then the bounds of each
    class, 2W, and ``FIRST_STEPS`` of the optimiser that improves their slopes, 6W each.

    Args:
        trial: whose network is certified.
        shape: of one input of the source.
        classes: of the source.
    """
    size = trial_size(trial, shape, classes)
    seen, outputs = trial.data.seen_shape(shape), trial.data.outputs(classes)
    if isinstance(trial.algorithm.network, MLP):
        widths = (math.prod(seen), *trial.algorithm.network.hidden)
        products = list(itertools.accumulate(a * b for a, b in itertools.pairwise(widths)))
        units = sum(4 * w * p for w, p in zip(widths[2:], products[1:], strict=True))
    else:
        units = 4 * (size.activations - math.prod(seen) - outputs) * size.products
    return float(units + outputs * (2 + 6 * FIRST_STEPS) * size.products)


def _certified(probe: CriticalProbe, budget: int) -> int:
    """Return how often an example is certified: at some checkpoints, at some radii."""
    times = [epoch for epoch in probe.certify_epochs if epoch <= budget]
    in_train = bool(set(probe.train_radii) & set(probe.certify_radii))
    per_time = len(probe.certify_radii) + in_train
    last = len(probe.radii) + len(probe.train_radii) if max(probe.epochs) in times else 0
    return per_time * (len(times) - bool(last)) + last


def curvature_flops(probe: SharpnessProbe, train: int, size: NetworkSize) -> float:
    r"""Return the operations of a sharpness probe's eigenvalues whose searches go to their limit.

    Formula: once a forward and a backward pass are kept, a product with the Hessian takes 4W for
    R{.} forward, 4W backward and 4W for the gradients, less 8 W_1: the data do not move, and need
    no gradient. One product verifies each of the two eigenvalues. Lanczos' own vectors are not
    counted.

    Args:
        probe: what is measured.
        train: number of training examples.
        size: of the network.
    """
    weights, first = size.products, size.first_products
    products = probe.max_iterations + 1
    return float(2 * train * (6 * weights - 2 * first + products * (12 * weights - 8 * first)))


def online_flops(probe: SharpnessProbe, train: int, size: NetworkSize) -> float:
    """Return the operations of the on-line estimator: two gradients per iteration.

    Args:
        probe: what is measured.
        train: number of training examples.
        size: of the network.
    """
    batch = min(probe.online_batch_size, train)
    gradient = 6 * size.products - 2 * size.first_products
    return float(2 * probe.online_iterations * batch * gradient)


def pack_bytes(pack: Pack, shape: tuple[int, ...], classes: int) -> int:
    """Return about how much memory a pack holds at its peak, beside the data set and libraries.

    Weights and momentum, the inputs its replicas share, and the largest of what a chunk of
    examples, a search, and an eigenvalue need.

    Args:
        pack: the replicas.
        shape: of first input of the source.
        classes: of the source.

    Returns:
        Bytes.
    """
    first, replicas = pack.trials[0], len(pack.trials)
    size, inputs = trial_size(first, shape, classes), math.prod(first.data.seen_shape(shape))
    momentum = 2 if any(trial.algorithm.momentum for trial in pack.trials) else 1
    weights = NUMBER * replicas * momentum * size.parameters
    draws = {trial.data.seed: 0.0 for trial in pack.trials}
    for trial in pack.trials:
        draws[trial.data.seed] = max(draws[trial.data.seed], trial.data.inputs)
    examples = first.data.train + first.data.validation
    distinct = sum(examples + round(level * first.data.train) for level in draws.values())
    shared = NUMBER * inputs * distinct + 3 * 8 * replicas * examples
    chunk = max(CHUNK, first.algorithm.batch_size)
    working = NUMBER * replicas * chunk * size.activations
    searched = max((p.examples for p in first.probes if isinstance(p, CriticalProbe)), default=0)
    search = NUMBER * replicas * searched * (SEARCH_COPIES * inputs + size.activations)
    curvature = 0
    if any(isinstance(probe, SharpnessProbe) for probe in first.probes):
        vectors = min(NUMBER * replicas * WIDTH * size.parameters, BASIS)
        kept = min(NUMBER * replicas * first.data.train * 2 * size.activations, KEPT)
        curvature = max(vectors, NUMBER * WIDTH * size.parameters) + kept
    sensitivity = sensitivity_probe(first)
    swept = 0
    if sensitivity is not None:
        swept = sweep_bytes(sensitivity, first, size, inputs, first.data.outputs(classes))
    return weights + shared + max(working, search, curvature, swept)


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

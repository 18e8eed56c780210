"""What a plan costs before it is run: arithmetic, memory, and the speed of this machine."""

from __future__ import annotations

import math
import time

import torch

from byheart.networks.build import build_pack
from byheart.training.optimizer import make_optimizer
from byheart.training.packs import Pack, trial_size
from byheart.training.probes import CHUNK
from byheart.trial import AccuracyProbe, CorrectProbe, CriticalProbe, Trial

NUMBER = 4
"""Bytes of a float32."""
SEARCH_COPIES = 10
"""Tensors of the size of its inputs that a search holds: point, witness, box, noise, gradient."""


def flops(trial: Trial, shape: tuple[int, ...], classes: int) -> float:
    r"""Return the floating-point operations of a trial that spends its whole budget.

    Formula: with W weights, W_1 of them in the first layer, a training example costs 2W forward,
    2W for the gradients of the weights and 2 (W - W_1) for those of the activations; a probe's
    forward pass 2W; an iteration of the search 4W (the verdict on a point and the gradient with
    respect to it share their forward pass). Searches count to their limit, and activation functions
    not at all: an upper bound for trials that stop early and searches that settle.

    Args:
        trial: what is trained and measured.
        shape: of one input of the source.
        classes: of the source.
    """
    size = trial_size(trial, shape, classes)
    weights = size.products
    data, budget = trial.data, trial.algorithm.epochs
    total = float(budget * data.train * (6 * weights - 2 * size.first_products))
    for probe in trial.probes:
        times = sum(epoch <= budget for epoch in probe.epochs)
        match probe:
            case AccuracyProbe():
                total += times * 2 * weights * (data.train + data.validation)
            case CorrectProbe():
                total += times * 2 * weights * data.train
            case CriticalProbe():
                searched = probe.examples * (len(probe.radii) + len(probe.train_radii))
                total += times * searched * (4 * probe.max_steps + 4) * weights
                # The noise-only control needs no gradient and is taken once.
                total += probe.examples * len(probe.radii) * (2 * probe.max_steps + 4) * weights
    return total


def pack_bytes(pack: Pack, shape: tuple[int, ...], classes: int) -> int:
    """Return about how much memory a pack holds at its peak, beside the data set and libraries.

    Weights and momentum, the inputs its replicas share, and the larger of what a chunk of examples
    and what a search needs.

    Args:
        pack: the replicas.
        shape: of one input of the source.
        classes: of the source.

    Returns:
        Bytes.
    """
    one, replicas = pack.trials[0], len(pack.trials)
    size, inputs = trial_size(one, shape, classes), math.prod(one.data.seen_shape(shape))
    momentum = 2 if any(trial.algorithm.momentum for trial in pack.trials) else 1
    weights = NUMBER * replicas * momentum * size.parameters
    draws = {trial.data.seed: 0.0 for trial in pack.trials}
    for trial in pack.trials:
        draws[trial.data.seed] = max(draws[trial.data.seed], trial.data.inputs)
    examples = one.data.train + one.data.validation
    distinct = sum(examples + round(level * one.data.train) for level in draws.values())
    shared = NUMBER * inputs * distinct + 3 * 8 * replicas * examples
    chunk = max(CHUNK, one.algorithm.batch_size)
    working = NUMBER * replicas * chunk * size.activations
    searched = max((p.examples for p in one.probes if isinstance(p, CriticalProbe)), default=0)
    search = NUMBER * replicas * searched * (SEARCH_COPIES * inputs + size.activations)
    return weights + shared + max(working, search)


def training_speed(
    pack: Pack, shape: tuple[int, ...], classes: int, *, device: str = "cpu", seconds: float = 0.2
) -> float:
    """Measure how fast this machine takes training steps of a pack's shape.

    Real steps on random examples, not bare matrix products: small networks spend much of their time
    between the products.

    Args:
        pack: its replicas, widths and batch size are measured, not its data.
        shape: of one input of the source.
        classes: of the source.
        device: where to measure.
        seconds: how long, at least.

    Returns:
        Floating-point operations per second, counted as in :func:`flops`.
    """
    one, replicas = pack.trials[0], len(pack.trials)
    seen, outputs = one.data.seen_shape(shape), one.data.outputs(classes)
    batch = min(one.algorithm.batch_size, one.data.train)
    seeds = [trial.seed for trial in pack.trials]
    network = build_pack(one.algorithm.network, seen, outputs, seeds, device=device)
    optimizer = make_optimizer(network, [trial.algorithm for trial in pack.trials], seeds)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((replicas, batch, math.prod(seen)), generator=generator).to(device)
    y = torch.randint(outputs, (replicas, batch), generator=generator).to(device)

    def step() -> None:
        # Reading a number back waits for devices that work ahead.
        float(optimizer.step(x, y)[0, 0])

    with torch.no_grad():
        step()
        started, steps = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds:
            step()
            steps += 1
    size = trial_size(one, shape, classes)
    return steps * replicas * batch * (6 * size.products - 2 * size.first_products) / passed

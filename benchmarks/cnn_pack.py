"""One epoch of small CNNs: a pack against the plain PyTorch loop, on the same input.

Arithmetic: on 28x28 inputs, 16 and 32 filters of 5x5 (each with batch norm, ReLU and a 3x3 pool of
stride 2) and a dense layer take 2.46 M products forward; a training example costs 14.1 MFLOP. The
machine's own speed is measured in every round beside both, as the bare convolutions of the pack.

Both must end with the same weights: checked in float64 first (1e-9), then timed in float32, in
turn.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.size import size_of
from byheart.seeds import generator
from byheart.training.autograd_sgd import AutogradSGD
from byheart.training.packs import FOOTPRINTS
from byheart.trial import CNN, Algorithm

NETWORK = CNN(channels=(16, 32), dense=())
SHAPE, CLASSES = (28, 28), 10
BATCH, LEARNING_RATE, MOMENTUM = 32, 0.01, 0.9


def examples(count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return inputs and labels of a task that a network can learn."""
    rng = generator("benchmark")
    x = torch.from_numpy(rng.random((count, *SHAPE)))
    return x.to(dtype), torch.from_numpy(rng.integers(0, CLASSES, count))


def order(replica: int, count: int) -> Tensor:
    """Return a replica's order of the examples."""
    return torch.from_numpy(generator("shuffle", replica).permutation(count))


def networks(replicas: list[int], dtype: torch.dtype) -> ReplicatedCNN:
    """Return a pack before training."""
    return ReplicatedCNN.initialised(NETWORK, SHAPE, CLASSES, replicas, dtype=dtype)


def plain_epoch(replica: int, x: Tensor, y: Tensor) -> nn.Module:
    """Train one network as every tutorial does."""
    model = networks([replica], x.dtype).module(0).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    for batch in torch.split(order(replica, len(x)), BATCH):
        optimizer.zero_grad()
        functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model


def packs_epoch(replicas: int, x: Tensor, y: Tensor) -> None:
    """Train all networks in packs of the size that the engine cuts."""
    made = 4 * BATCH * size_of(NETWORK, SHAPE, CLASSES).activations
    most = max(1, FOOTPRINTS["cpu"].working // made)
    for numbers in torch.arange(replicas).tensor_split(math.ceil(replicas / most)):
        pack_epoch(numbers.tolist(), x, y)


def pack_epoch(numbers: list[int], x: Tensor, y: Tensor) -> ReplicatedCNN:
    """Train networks as one program, as byheart's engine does."""
    replicas = len(numbers)
    network = networks(numbers, x.dtype)
    algorithm = Algorithm(
        network=NETWORK,
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
        batch_size=BATCH,
        epochs=1,
    )
    sgd = AutogradSGD(network, [algorithm] * replicas, numbers)
    rows = torch.stack([order(replica, len(x)) for replica in numbers])
    flat_x = x.flatten(1)
    with torch.no_grad():
        for batch in torch.split(rows, BATCH, dim=1):
            flat = batch.reshape(-1)
            sgd.step(flat_x[flat].view(replicas, -1, flat_x.shape[1]), y[flat].view(replicas, -1))
    return network


def agree(replicas: int) -> float:
    """Return the largest difference of any weight after an epoch in float64."""
    x, y = examples(320, torch.float64)
    network = pack_epoch(list(range(replicas)), x, y)
    worst = 0.0
    for replica in range(replicas):
        pairs = zip(
            plain_epoch(replica, x, y).parameters(),
            network.module(replica).parameters(),
            strict=True,
        )
        worst = max(worst, *(float((a - b).detach().abs().max()) for a, b in pairs))
    return worst


def convolution_speed(replicas: int) -> float:
    """Return operations per second of the convolutions alone, forward and backward."""
    stages = networks([0], torch.float32).shapes.stages
    done, calls = 0, []
    for number, stage in enumerate(stages):
        x = torch.rand(BATCH, replicas * stage.inputs, *stage.side)
        weight = torch.rand(replicas * stage.filters, stage.inputs, 5, 5)
        x, weight = (one.contiguous(memory_format=torch.channels_last) for one in (x, weight))
        needed = [weight.requires_grad_()] + ([x.requires_grad_()] if number else [])
        calls.append((x, weight, needed))
        products = 25 * stage.inputs * stage.filters * stage.side[0] * stage.side[1]
        done += (6 if number else 4) * replicas * BATCH * products
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.5:
        for x, weight, needed in calls:
            made = functional.conv2d(x, weight, padding=2, groups=replicas)
            torch.autograd.grad(made, needed, made.detach())
        rounds += 1
    return rounds * done / (time.perf_counter() - started)


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=20)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench-cnn.json"))
    options = parser.parse_args()
    replicas = options.replicas

    difference = agree(3)
    x, y = examples(options.examples, torch.float32)
    size = size_of(NETWORK, SHAPE, CLASSES)
    work = len(x) * (6 * size.products - 2 * size.first_products)
    plain_epoch(0, x[:64], y[:64]), packs_epoch(replicas, x[:64], y[:64])
    rounds = [
        (
            seconds(packs_epoch, replicas, x, y) / replicas,
            seconds(plain_epoch, 0, x, y),
            convolution_speed(replicas),
        )
        for _ in range(options.pairs)
    ]
    ours, plain, speed = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = np.array([slow / fast for fast, slow, _ in rounds])
    row = {
        "row": "CNN pack",
        "work": f"CNN {NETWORK.name} on {SHAPE[0]}x{SHAPE[1]}, {len(x)} examples, batch {BATCH}, "
        f"{replicas} replicas, one epoch, per replica",
        "peer": "plain PyTorch loop",
        "ours_seconds": ours,
        "peer_seconds": plain,
        "ratio": {
            "median": float(np.median(ratios)),
            "low": float(ratios.min()),
            "high": float(ratios.max()),
        },
        "limit_fraction": work / ours / speed,
        "agree": difference < 1e-9,
    }
    print(f"equal weights after an epoch in float64: largest difference {difference:.1e}")
    print(f"convolutions of these shapes alone: {speed / 1e9:.0f} GFLOP/s")
    print(f"plain loop: {plain:.3f} s a network ({work / plain / 1e9:.0f} GFLOP/s)")
    print(f"{replicas} in packs: {ours:.3f} s a network ({work / ours / 1e9:.0f} GFLOP/s)")
    print(
        f"ratio: {row['ratio']['median']:.1f} ({row['ratio']['low']:.1f} to "
        f"{row['ratio']['high']:.1f}), {row['limit_fraction']:.0%} of the machine's limit"
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([row], indent=2) + "\n")
    if not row["agree"]:
        raise SystemExit("the pack and the plain loop differ")


if __name__ == "__main__":
    main()

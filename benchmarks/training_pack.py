"""One epoch of many small networks: a pack against the plain PyTorch loop, on the same input.

Arithmetic: an MLP 784-128-128-10 has W = 118,016 weights (W1 = 100,352 in the first layer); a
training example costs 6 W - 2 W1 = 0.507 MFLOP, an epoch of 5000 examples 2.54 GFLOP. The machine's
own speed is measured in every round beside both, as batched matrix products of the same shapes.

Both must end with the same weights: checked in float64 first (1e-9), then timed in float32, in
turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator
from byheart.training.sgd import SGD
from byheart.trial import MLP, Algorithm

SIZES = (784, 128, 128, 10)
EXAMPLES, BATCH, LEARNING_RATE = 5000, 32, 0.1


def examples(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return inputs and labels of a task that a network can learn."""
    rng = generator("benchmark")
    x = torch.from_numpy(rng.random((EXAMPLES, SIZES[0])))
    y = torch.from_numpy(rng.integers(0, SIZES[-1], EXAMPLES))
    return x.to(dtype), y


def order(replica: int) -> Tensor:
    """Return a replica's order of the examples."""
    return torch.from_numpy(generator("shuffle", replica).permutation(EXAMPLES))


def plain_epoch(replica: int, x: Tensor, y: Tensor) -> nn.Module:
    """Train one network as every tutorial does."""
    model = ReplicatedMLP.initialised(SIZES, [replica], dtype=x.dtype).module(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    for batch in torch.split(order(replica), BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model


def pack_epoch(replicas: int, x: Tensor, y: Tensor) -> ReplicatedMLP:
    """Train all networks as one program, as byheart's engine does."""
    network = ReplicatedMLP.initialised(SIZES, range(replicas), dtype=x.dtype)
    algorithm = Algorithm(
        network=MLP(hidden=SIZES[1:-1]),
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        epochs=1,
    )
    sgd = SGD(network, [algorithm] * replicas, range(replicas))
    rows = torch.stack([order(replica) for replica in range(replicas)])
    with torch.no_grad():
        for batch in torch.split(rows, BATCH, dim=1):
            flat = batch.reshape(-1)
            sgd.step(x[flat].view(replicas, -1, SIZES[0]), y[flat].view(replicas, -1))
    return network


def agree(replicas: int) -> float:
    """Return the largest difference of any weight after an epoch in float64."""
    x, y = examples(torch.float64)
    network = pack_epoch(replicas, x, y)
    worst = 0.0
    for replica in range(replicas):
        pairs = zip(
            plain_epoch(replica, x, y).parameters(),
            network.module(replica).parameters(),
            strict=True,
        )
        worst = max(worst, *(float((a - b).detach().abs().max()) for a, b in pairs))
    return worst


def product_speed(replicas: int) -> float:
    """Return floating-point operations per second of the matrix products alone."""
    done = 0
    pairs = []
    for a, b in itertools.pairwise(SIZES):
        h, weight = torch.rand(replicas, BATCH, a), torch.rand(replicas, a, b)
        delta = torch.rand(replicas, BATCH, b)
        pairs += [(h, weight), (h.mT, delta)] + ([(delta, weight.mT)] if a != SIZES[0] else [])
        done += (6 if a != SIZES[0] else 4) * replicas * BATCH * a * b
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.5:
        for one, other in pairs:
            torch.bmm(one, other)
        rounds += 1
    return rounds * done / (time.perf_counter() - started)


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    options = parser.parse_args()
    replicas = options.replicas

    difference = agree(3)
    x, y = examples(torch.float32)
    weights = [a * b for a, b in itertools.pairwise(SIZES)]
    work = EXAMPLES * (6 * sum(weights) - 2 * weights[0])
    plain_epoch(0, x, y), pack_epoch(2, x, y), product_speed(replicas)
    rounds = [
        (
            seconds(pack_epoch, replicas, x, y) / replicas,
            seconds(plain_epoch, 0, x, y),
            product_speed(replicas),
        )
        for _ in range(options.pairs)
    ]
    ours, plain, speed = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = np.array([slow / fast for fast, slow, _ in rounds])
    row = {
        "row": "medium pack",
        "work": f"MLP {'-'.join(map(str, SIZES))}, {EXAMPLES} examples, batch {BATCH}, "
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
    print(f"matrix products of these shapes: {speed / 1e9:.0f} GFLOP/s")
    print(f"plain loop: {plain:.3f} s a network ({work / plain / 1e9:.0f} GFLOP/s)")
    print(f"pack of {replicas}:  {ours:.3f} s a network ({work / ours / 1e9:.0f} GFLOP/s)")
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

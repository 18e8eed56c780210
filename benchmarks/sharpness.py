"""The largest Hessian eigenvalue of trained networks: Lanczos against a plain power iteration.

The peer does what a first implementation does: for one network after the other, power iteration
v <- H v / ||H v|| with products by double autograd, until ||H v - lambda v|| <= 1e-3 |lambda|. Ours
takes the same residual, by Lanczos iteration with products written out for a whole pack.

Both must give the same eigenvalues, within the residual: checked in every round. They are timed in
turn, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import byheart
from byheart.measures.pack_data import PackData
from byheart.measures.pack_sharpness import pack_sharpness
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator
from byheart.training.sgd import SGD
from byheart.trial import MLP, Algorithm

HIDDEN, EXAMPLES, EPOCHS, BATCH = (64, 64), 500, 40, 25
TOLERANCE, LIMIT = 1e-3, 2000


def trained(replicas: int) -> tuple[ReplicatedMLP, PackData]:
    """Return networks trained on the digits, each from its own initialisation."""
    digits = byheart.load_dataset("digits", size=EXAMPLES)
    x, y = digits.x.flatten(1), digits.y
    sizes = (x.shape[1], *HIDDEN, digits.n_classes)
    network = ReplicatedMLP.initialised(sizes, range(replicas))
    algorithm = Algorithm(
        network=MLP(hidden=HIDDEN), learning_rate=0.1, batch_size=BATCH, epochs=EPOCHS
    )
    sgd = SGD(network, [algorithm] * replicas, range(replicas))
    draw = generator("benchmark-sharpness")
    with torch.no_grad():
        for _ in range(EPOCHS):
            for rows in torch.from_numpy(draw.permutation(EXAMPLES)).split(BATCH):
                sgd.step(x[rows].expand(replicas, -1, -1), y[rows].expand(replicas, -1))
    everything = torch.arange(EXAMPLES).expand(replicas, -1).contiguous()
    return sgd.network, PackData(x, everything, y.expand(replicas, -1).contiguous())


def power_iteration(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the eigenvalue of largest magnitude, as every tutorial finds it."""
    parameters = list(model.parameters())
    draw = torch.Generator().manual_seed(0)
    vector = [torch.randn(p.shape, generator=draw) for p in parameters]
    value = 0.0
    for _ in range(LIMIT):
        norm = torch.sqrt(sum((v * v).sum() for v in vector))
        vector = [v / norm for v in vector]
        slopes = torch.autograd.grad(
            nn.functional.cross_entropy(model(x), y), parameters, create_graph=True
        )
        along = sum((g * v).sum() for g, v in zip(slopes, vector, strict=True))
        image = torch.autograd.grad(along, parameters)
        value = float(sum((h * v).sum() for h, v in zip(image, vector, strict=True)))
        rest = sum(((h - value * v) ** 2).sum() for h, v in zip(image, vector, strict=True))
        if float(rest) ** 0.5 <= TOLERANCE * abs(value):
            break
        vector = list(image)
    return value


def ours(network: ReplicatedMLP, data: PackData) -> np.ndarray:
    """Return the eigenvalues of all networks at once."""
    with torch.no_grad():
        return pack_sharpness(network, data, tolerance=TOLERANCE).eigenvalue


def peers(network: ReplicatedMLP, data: PackData) -> np.ndarray:
    """Return the eigenvalues of one network after the other."""
    return np.array(
        [
            power_iteration(network.module(i), data.pool[data.rows[i]], data.y[i])
            for i in range(network.replicas)
        ]
    )


def timed(work: Callable[..., np.ndarray], *arguments: object) -> tuple[float, np.ndarray]:
    """Return how long a call takes, and its result."""
    started = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - started, result


def row(replicas: int, pairs: int) -> dict[str, object]:
    """Compare on so many networks."""
    network, data = trained(replicas)
    ours(network, data), power_iteration(network.module(0), data.pool, data.y[0])
    own, peer, worst = [], [], 0.0
    for _ in range(pairs):
        seconds, mine = timed(ours, network, data)
        own.append(seconds)
        seconds, theirs = timed(peers, network, data)
        peer.append(seconds)
        worst = max(worst, float(np.abs(mine / theirs - 1).max()))
    ratios = np.array(peer) / np.array(own)
    return {
        "row": f"sharpness, {replicas} network{'s' * (replicas > 1)}",
        "work": f"largest Hessian eigenvalue to {TOLERANCE:g}, MLP 64-64-64-10, {EXAMPLES} digits",
        "peer": "power iteration by double autograd, one network at a time",
        "ours_seconds": statistics.median(own),
        "peer_seconds": statistics.median(peer),
        "ratio": {
            "median": float(np.median(ratios)),
            "low": float(ratios.min()),
            "high": float(ratios.max()),
        },
        "largest_difference": worst,
        "agree": worst <= TOLERANCE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/bench-sharpness.json"))
    options = parser.parse_args()
    # One thread for both: networks this small gain nothing from more.
    torch.set_num_threads(1)
    rows = [row(replicas, options.pairs) for replicas in options.replicas]
    for one in rows:
        ratio = one["ratio"]
        print(
            f"{one['row']}: ours {one['ours_seconds']:.3f} s, peer {one['peer_seconds']:.3f} s, "
            f"ratio {ratio['median']:.1f} ({ratio['low']:.1f} to {ratio['high']:.1f}); "
            f"largest relative difference {one['largest_difference']:.1e}"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=2) + "\n")
    if not all(one["agree"] for one in rows):
        raise SystemExit("the eigenvalues differ")


if __name__ == "__main__":
    main()

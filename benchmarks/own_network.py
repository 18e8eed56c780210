"""Training steps of a user's modules: a pack by vmap, one by one, and the plain PyTorch loop.

Ten replicas, batches of 32, SGD with momentum, float32 on one thread. That all three compute the
same is what `tests/training/test_foreign_training.py` checks, in float64. Each is timed in turn, by
the processor time of this process, so that whatever else the machine does counts little.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.networks.examine import examine
from byheart.networks.foreign import initialised
from byheart.networks.vmapped import ForeignPack, SeparateNetworks, VmappedNetwork
from byheart.training.autograd_sgd import AutogradSGD
from byheart.trial import Algorithm, Foreign

REPLICAS, BATCH, STEPS, ROUNDS = 10, 32, 10, 9
LEARNING_RATE, MOMENTUM = 0.01, 0.9


def mlp_digits() -> nn.Module:
    """64-128-128-10."""
    return _mlp(64)


def mlp_mnist() -> nn.Module:
    """784-256-256-10."""
    return _mlp(784, 256)


def _mlp(inputs: int, width: int = 128) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10),
    )  # fmt: skip


def cnn_digits() -> nn.Module:
    """8 and 16 filters of 3x3 with batch norm."""
    return _cnn(8, 16, 64)


def cnn_mnist() -> nn.Module:
    """16 and 32 filters of 3x3 with batch norm."""
    return _cnn(16, 32, 32 * 49)


def _cnn(first: int, second: int, dense: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(dense, 10),
    )  # fmt: skip


NETWORKS = {
    "mlp_digits": (8, 8),
    "mlp_mnist": (28, 28),
    "cnn_digits": (8, 8),
    "cnn_mnist": (28, 28),
}


def plain(name: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return what takes a step of every network, as every tutorial does."""
    models = [initialised(name, replica).train() for replica in range(REPLICAS)]
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM) for model in models
    ]

    def step() -> None:
        for model, optimizer, inputs, labels in zip(models, optimizers, x, y, strict=True):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    return step


def packed(
    kind: type[ForeignPack], name: str, shape: tuple[int, ...], x: Tensor, y: Tensor
) -> Callable[[], None]:
    """Return what takes a step of a pack."""
    modules = [initialised(name, replica) for replica in range(REPLICAS)]
    pack = kind.stacked(modules, takes=tuple(x.shape[2:]), shape=shape, seeds=range(REPLICAS))
    algorithm = Algorithm(
        network=Foreign(factory=name, fingerprint=""),
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
        batch_size=BATCH,
        epochs=1,
    )
    sgd = AutogradSGD(pack, [algorithm] * REPLICAS, list(range(REPLICAS)))
    flat = x.flatten(2)

    def step() -> None:
        with torch.no_grad():
            sgd.step(flat, y)

    return step


def milliseconds(step: Callable[[], None]) -> float:
    """Return the processor time of a step of all replicas."""
    started = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - started) / STEPS * 1000


def main() -> None:
    """Print one row per network."""
    torch.set_num_threads(1)
    sys.modules["own_network"] = sys.modules["__main__"]
    for network, shape in NETWORKS.items():
        name = f"own_network:{network}"
        draw = torch.Generator().manual_seed(0)
        takes = examine(name, shape, 10).takes
        x = torch.rand(REPLICAS, BATCH, *takes, generator=draw)
        y = torch.randint(10, (REPLICAS, BATCH), generator=draw)
        ways = {
            "plain": plain(name, x, y),
            "one by one": packed(SeparateNetworks, name, shape, x, y),
            "vmap": packed(VmappedNetwork, name, shape, x, y),
        }
        for step in ways.values():
            step()
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, step in ways.items():
                times[way].append(milliseconds(step))
        for way, own in times.items():
            gain = [a / b for a, b in zip(times["plain"], own, strict=True)]
            print(
                f"{network:11} {way:10} {statistics.median(own):7.2f} ms a step of {REPLICAS}, "
                f"plain / this {statistics.median(gain):.2f} ({min(gain):.2f} to {max(gain):.2f})"
            )


if __name__ == "__main__":
    main()

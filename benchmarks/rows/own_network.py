"""Training steps of a user's own modules: a pack as the engine trains it, against the plain loop.

Ten replicas, batches of 32, SGD with momentum. A pack goes by vmap or network by network: for each
network this row takes the way that `byheart` takes, and the other one beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.duel import Agreement, Duel
from byheart.networks.examine import examine
from byheart.networks.foreign import initialised
from byheart.networks.vmapped import ModulePack, SeparateNetworks, VmappedNetwork
from byheart.training.regularizers.base import Batch
from byheart.training.step import AutogradStep
from byheart.trial import Algorithm, Foreign

REPLICAS, BATCH, STEPS, COMPARED = 10, 32, 10, 3
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
    "mlp_digits": ((8, 8), "MLP 64-128-128-10"),
    "mlp_mnist": ((28, 28), "MLP 784-256-256-10"),
    "cnn_digits": ((8, 8), "CNN on 8x8, 8 and 16 filters of 3x3, batch norm"),
    "cnn_mnist": ((28, 28), "CNN on 28x28, 16 and 32 filters of 3x3, batch norm"),
}
WAYS = {"by vmap": VmappedNetwork, "one by one": SeparateNetworks}


class PlainLoop:
    """Every network with its own optimizer, as every tutorial does."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.models = [initialised(name, i, dtype=dtype).train() for i in range(REPLICAS)]
        self.optimizers = [
            torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
            for model in self.models
        ]

    def step(self, x: Tensor, y: Tensor) -> None:
        """Take a step of every network."""
        for model, optimizer, inputs, labels in zip(
            self.models, self.optimizers, x, y, strict=True
        ):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()


class Packed:
    """The same networks as a pack."""

    def __init__(
        self, kind: type[ModulePack], name: str, takes: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        modules = [initialised(name, i, dtype=dtype) for i in range(REPLICAS)]
        shape = NETWORKS[name.partition(":")[2]][0]
        self.pack = kind.stacked(modules, takes=takes, shape=shape, seeds=range(REPLICAS))
        algorithm = Algorithm(
            network=Foreign(factory=name, fingerprint=""),
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            batch_size=BATCH,
            epochs=1,
        )
        self.training = AutogradStep(self.pack, [algorithm] * REPLICAS, list(range(REPLICAS)))

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor) -> None:
        """Take a step of every network."""
        self.training.step(Batch(y, x.flatten(2), y))


def batch(takes: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return inputs [R, B, *takes] and labels [R, B]."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(REPLICAS, BATCH, *takes, generator=draw).to(dtype)
    return x, torch.randint(10, (REPLICAS, BATCH), generator=draw)


def same_weights(
    kind: type[ModulePack], name: str, takes: tuple[int, ...], ours: object, theirs: object
) -> Agreement:
    """Compare all weights in float64 after a few steps."""
    del ours, theirs  # rounding in float32 grows while networks train on
    x, y = batch(takes, torch.float64)
    loop, packed = PlainLoop(name, x.dtype), Packed(kind, name, takes, x.dtype)
    for _ in range(COMPARED):
        loop.step(x, y)
        packed.step(x, y)
    apart = max(
        float((a - b).detach().abs().max())
        for i, model in enumerate(loop.models)
        for a, b in zip(packed.pack.module(i).parameters(), model.parameters(), strict=True)
    )
    return Agreement(apart < 1e-9, f"weights differ by {apart:.1e} in float64")


def repeated(step: Callable[[Tensor, Tensor], None], x: Tensor, y: Tensor) -> None:
    for _ in range(STEPS):
        step(x, y)


def duels() -> Iterator[Duel]:
    for network, (shape, words) in NETWORKS.items():
        name = f"{__name__}:{network}"
        takes = examine(name, shape, 10).takes
        x, y = batch(takes, torch.float32)
        for way, kind in WAYS.items():
            yield Duel(
                row=f"own network, {way}",
                work=f"{words}, {REPLICAS} replicas, {STEPS} steps of {BATCH}",
                peer="plain PyTorch loop",
                ours=partial(repeated, Packed(kind, name, takes, x.dtype).step, x, y),
                theirs=partial(repeated, PlainLoop(name, x.dtype).step, x, y),
                compare=partial(same_weights, kind, name, takes),
                wanted=1,
                threads=1,
            )

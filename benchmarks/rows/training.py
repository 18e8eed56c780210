"""One epoch of many networks: packs against the plain PyTorch loop, on the same input.

Arithmetic: a training example costs 6 W - 2 W1 operations, with W products in the forward pass, W1
of them in the first layer. The machine's own speed is that of bare products (or convolutions) of
the very shapes that the packs compute.

Both must end with the same weights: compared in float64 on the first replicas (1e-9), before
float32 is timed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.duel import Agreement, Duel, Limit, speed_of
from byheart.networks.build import build_pack
from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.size import size_of
from byheart.seeds import generator
from byheart.training.engine import make_step
from byheart.training.packs import FOOTPRINTS
from byheart.training.regularizers.base import Batch
from byheart.training.step import TrainingStep
from byheart.trial import CNN, MLP, Algorithm

CLASSES = 10
COMPARED = 3
"""Replicas whose weights are compared in float64."""


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        row: its name in the table.
        network: architecture.
        shape: of one input.
        examples: in the training set.
        batch: size.
        replicas: how many networks.
        momentum: of SGD.
        learning_rate: of SGD.
        wanted: ratio to reach against the plain loop.
        wanted_of_limit: fraction of the machine's speed to reach.
    """

    row: str
    network: MLP | CNN
    shape: tuple[int, ...]
    examples: int
    batch: int
    replicas: int
    momentum: float
    learning_rate: float
    wanted: float
    wanted_of_limit: float | None = None

    @property
    def work(self) -> str:
        """One line that says what is trained."""
        return (
            f"{self.network.name} on {'x'.join(map(str, self.shape))} inputs, {self.examples} "
            f"examples, batch {self.batch}, {self.replicas} replica{'s' * (self.replicas > 1)}, "
            "one epoch"
        )

    @property
    def together(self) -> int:
        """Replicas in a pack: as the engine cuts them on a CPU."""
        size, room = size_of(self.network, self.shape, CLASSES), FOOTPRINTS["cpu"]
        kept = 4 * size.parameters * (2 if self.momentum else 1)
        made = 4 * size.activations * self.batch
        fitting = min(room.bytes // kept, room.working // made)
        most = min(room.replicas, max(1, fitting))
        return math.ceil(self.replicas / math.ceil(self.replicas / most))


CASES = (
    Case("small pack", MLP(hidden=(16, 16)), (196,), 1000, 10, 100, 0.0, 0.1, 40),
    Case("medium pack", MLP(hidden=(128, 128)), (784,), 5000, 32, 100, 0.0, 0.1, 4, 0.45),
    Case("wide", MLP(hidden=(4096, 4096)), (784,), 1280, 128, 1, 0.0, 0.01, 1, 0.8),
    Case("CNN pack", CNN(channels=(16, 32), dense=()), (28, 28), 320, 32, 20, 0.9, 0.01, 2),
    Case(
        "CNN pack, colour",
        CNN(channels=(32, 64), dense=(128,), crop=2),
        (3, 32, 32), 320, 32, 20, 0.9, 0.01, 1.5,
    ),
)  # fmt: skip


def examples(case: Case, dtype: torch.dtype, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Return inputs [N, *shape] and labels [N]."""
    rng = generator("benchmark")
    x = torch.from_numpy(rng.random((count or case.examples, *case.shape)))
    return x.to(dtype), torch.from_numpy(rng.integers(0, CLASSES, len(x)))


def order(replica: int, count: int) -> Tensor:
    """Return a replica's order of the examples."""
    return torch.from_numpy(generator("shuffle", replica).permutation(count))


def plain_networks(case: Case, replicas: Sequence[int], dtype: torch.dtype) -> list[nn.Module]:
    """Return networks that train alone."""
    return [
        build_pack(case.network, case.shape, CLASSES, [replica], dtype=dtype).module(0)
        for replica in replicas
    ]


def plain_loop(case: Case, models: Sequence[nn.Module], x: Tensor, y: Tensor) -> None:
    """Train one network after the other, as every tutorial does."""
    for replica, model in enumerate(models):
        model.train()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=case.learning_rate, momentum=case.momentum
        )
        for batch in torch.split(order(replica, len(x)), case.batch):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def packs(case: Case, replicas: Sequence[int], dtype: torch.dtype) -> list[TrainingStep]:
    """Return what trains the same networks in packs."""
    algorithm = Algorithm(
        network=case.network,
        learning_rate=case.learning_rate,
        momentum=case.momentum,
        batch_size=case.batch,
        epochs=1,
    )
    made = []
    for start in range(0, len(replicas), case.together):
        numbers = list(replicas[start : start + case.together])
        network = build_pack(case.network, case.shape, CLASSES, numbers, dtype=dtype)
        made.append(make_step(network, [algorithm] * len(numbers), numbers))
    return made


@torch.no_grad()
def in_packs(case: Case, steps: Sequence[TrainingStep], x: Tensor, y: Tensor) -> None:
    """Train the same networks as byheart's engine does."""
    flat, first = x.flatten(1), 0
    for step in steps:
        replicas = range(first, first + step.network.replicas)
        first = replicas.stop
        rows = torch.stack([order(replica, len(x)) for replica in replicas])
        for batch in torch.split(rows, case.batch, dim=1):
            inputs = flat.index_select(0, batch.reshape(-1)).view(*batch.shape, -1)
            step.step(Batch(batch, inputs, y[batch]))


def same_weights(case: Case, ours: object, theirs: object) -> Agreement:
    """Compare a few replicas in float64, after a short epoch from the start."""
    del ours, theirs  # rounding in float32 grows while networks train on
    numbers = range(min(COMPARED, case.replicas))
    x, y = examples(case, torch.float64, min(case.examples, 20 * case.batch))
    models = plain_networks(case, numbers, x.dtype)
    steps = packs(case, numbers, x.dtype)
    plain_loop(case, models, x, y)
    in_packs(case, steps, x, y)
    mine = [one.network.module(i) for one in steps for i in range(one.network.replicas)]
    apart = max(
        float((a - b).detach().abs().max())
        for pair in zip(mine, models, strict=True)
        for a, b in zip(*(model.parameters() for model in pair), strict=True)
    )
    return Agreement(apart < 1e-9, f"weights differ by {apart:.1e} in float64")


def limit(case: Case) -> Limit:
    """Return the arithmetic of an epoch, and what measures the machine's speed at it."""
    size = size_of(case.network, case.shape, CLASSES)
    each = 6 * size.products - 2 * size.first_products
    make = dense_products if isinstance(case.network, MLP) else convolutions
    products, operations = make(case)
    return Limit(
        flops=float(each * case.examples * case.replicas),
        speed=partial(speed_of, products, operations),
    )


def dense_products(case: Case) -> tuple[Callable[[], None], float]:
    """Return the bare matrix products of one step of a pack, and their operations."""
    assert isinstance(case.network, MLP)
    replicas, batch, operations, pairs = case.together, case.batch, 0, []
    sizes = (math.prod(case.shape), *case.network.hidden, CLASSES)
    for layer, (a, b) in enumerate(itertools.pairwise(sizes)):
        h, weight = torch.rand(replicas, batch, a), torch.rand(replicas, a, b)
        delta = torch.rand(replicas, batch, b)
        pairs += [(h, weight, torch.empty(replicas, batch, b)), (h.mT, delta, weight.clone())]
        pairs += [(delta, weight.mT, torch.empty(replicas, batch, a))] if layer else []
        operations += (6 if layer else 4) * replicas * batch * a * b

    def products() -> None:
        for one, other, out in pairs:
            torch.bmm(one, other, out=out)

    return products, float(operations)


def convolutions(case: Case) -> tuple[Callable[[], None], float]:
    """Return the bare convolutions of one step of a pack, both ways, and their operations."""
    assert isinstance(case.network, CNN)
    pack = build_pack(case.network, case.shape, CLASSES, [0])
    assert isinstance(pack, ReplicatedCNN)
    replicas, batch, kernel = case.together, case.batch, case.network.kernel
    operations, calls = 0, []
    for number, stage in enumerate(pack.shapes.stages):
        x = torch.rand(batch, replicas * stage.inputs, *stage.side)
        weight = torch.rand(replicas * stage.filters, stage.inputs, kernel, kernel)
        x, weight = (one.contiguous(memory_format=torch.channels_last) for one in (x, weight))
        needed = [weight.requires_grad_()] + ([x.requires_grad_()] if number else [])
        calls.append((x, weight, needed))
        products = kernel**2 * stage.inputs * stage.filters * math.prod(stage.side)
        operations += (6 if number else 4) * replicas * batch * products

    def both_ways() -> None:
        for x, weight, needed in calls:
            made = functional.conv2d(x, weight, padding=kernel // 2, groups=replicas)
            torch.autograd.grad(made, needed, made.detach())

    return both_ways, float(operations)


def duels() -> Iterator[Duel]:
    """Yield each case against the plain loop; both train on, epoch by epoch."""
    for case in CASES:
        x, y = examples(case, torch.float32)
        numbers = range(case.replicas)
        yield Duel(
            row=case.row,
            work=case.work,
            peer="plain PyTorch loop",
            ours=partial(in_packs, case, packs(case, numbers, x.dtype), x, y),
            theirs=partial(plain_loop, case, plain_networks(case, numbers, x.dtype), x, y),
            compare=partial(same_weights, case),
            wanted=case.wanted,
            limit=limit(case),
            wanted_of_limit=case.wanted_of_limit,
        )

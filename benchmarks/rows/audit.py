"""`byheart.audit` from data to ranking, against the same trainings in a plain loop.

Four trainings of four epochs, SGD with momentum, batches of 32. The peer trains on all examples and
records nothing; ours holds out a tenth, and its time holds the check of the network, the record of
every example, input gradients, the onset of memorization, scores and neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

import byheart
from benchmarks.duel import Agreement, Duel

SEEDS, EPOCHS, BATCH = 4, 4, 32
LEARNING_RATE, MOMENTUM = 0.02, 0.9


def cnn() -> nn.Module:
    """16, 32 and 64 filters of 3x3 with batch norm."""
    layers: list[nn.Module] = []
    for before, filters in ((3, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(before, filters, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))


def mlp(inputs: int, width: int) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 10)
    )  # fmt: skip


CASES: tuple[tuple[str, Callable[[], nn.Module], tuple[int, ...], int, float], ...] = (
    ("CNN 16-32-64 with batch norm, 2,000 images of 3x32x32", cnn, (3, 32, 32), 2000, 1.0),
    ("MLP 1280-128-10, 4,000 examples", partial(mlp, 1280, 128), (1280,), 4000, 1.2),
    ("MLP 784-256-10, 5,000 images of 28x28", partial(mlp, 784, 256), (28, 28), 5000, 1.2),
)
"""Words, network, shape of an input, examples, and the ratio that is wanted."""


def made_up(shape: tuple[int, ...], examples: int) -> tuple[Tensor, Tensor]:
    """Return noisy copies of ten drawn patterns, and their labels."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(examples) % 10
    patterns = torch.rand(10, *shape, generator=draw)
    return (patterns[y] + torch.rand(examples, *shape, generator=draw)) / 2, y


def plain_loop(factory: Callable[[], nn.Module], x: Tensor, y: Tensor) -> float:
    """Train as every tutorial does, and return the accuracy of the last network."""
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = factory().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
    with torch.no_grad():
        return float((model.eval()(x).argmax(1) == y).float().mean())


def audited(factory: Callable[[], nn.Module], x: Tensor, y: Tensor) -> byheart.Audit:
    """Audit the same data with the same training."""
    recipe = byheart.Recipe(
        learning_rate=LEARNING_RATE, momentum=MOMENTUM, schedule="constant", epochs=EPOCHS,
        batch_size=BATCH, device="cpu",
    )  # fmt: skip
    return byheart.audit(factory, (x, y), recipe=recipe, seeds=SEEDS)


def both_learned(audit: byheart.Audit, accuracy: float) -> Agreement:
    """Compare the share of examples that the networks learned."""
    learned = float((audit.table["suspicion"] < 0).mean())
    return Agreement(
        abs(learned - accuracy) < 0.05, f"learned: {learned:.1%} of examples, peer {accuracy:.1%}"
    )


def duels() -> Iterator[Duel]:
    for words, factory, shape, examples, wanted in CASES:
        x, y = made_up(shape, examples)
        yield Duel(
            row="audit",
            work=f"{words}, {SEEDS} trainings of {EPOCHS} epochs",
            peer="the same trainings in a plain loop",
            ours=partial(audited, factory, x, y),
            theirs=partial(plain_loop, factory, x, y),
            compare=both_learned,
            wanted=wanted,
        )

"""Packs under a regularizer, and the same networks alone, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from byheart.advising.arms import checkpoints
from byheart.networks.foreign import initialised
from byheart.networks.vmapped import ModulePack, PerturbedModule, SeparateNetworks, VmappedNetwork
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer
from byheart.training.step import AutogradStep
from byheart.trial import MLP, Algorithm

N, SHAPE, CLASSES, BATCH, STEPS, LR = 24, (6, 6), 4, 8, 6, 0.1
LAYERS = ("ReLU", "Tanh")
RECIPE = Recipe(
    epochs=8, learning_rate=LR, momentum=0.9, batch_size=BATCH, schedule="constant", device="cpu"
)


def small() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 7), nn.ReLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 4)
    )


def task(hidden: int = 12, shape: tuple[int, ...] = SHAPE, no_hidden: str = "") -> LearningTask:
    return LearningTask(shape, CLASSES, hidden, N, no_hidden, checkpoints(RECIPE.epochs), LAYERS)


def data() -> tuple[Tensor, Tensor, Tensor]:
    """Return ids [STEPS, B], all inputs [N, D] and labels [N]."""
    draw = torch.Generator().manual_seed(3)
    x = torch.rand(N, 36, generator=draw, dtype=torch.float64)
    y = torch.randint(CLASSES, (N,), generator=draw)
    ids = torch.stack([torch.randperm(N, generator=draw)[:BATCH] for _ in range(STEPS)])
    return ids, x, y


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    ids, x, y = data()
    return [(own, x[own], y[own]) for own in ids]


def network(seeds: Sequence[int], kind: type[Regularizer], way: type[ModulePack]) -> ModulePack:
    modules = [initialised(small, seed, dtype=torch.float64) for seed in seeds]
    if kind.changes_hidden:
        modules = [PerturbedModule(module).double() for module in modules]
    return way.stacked(modules, takes=SHAPE, shape=SHAPE, seeds=seeds)


def trained(
    kind: type[Regularizer],
    strengths: Sequence[float],
    seeds: Sequence[int],
    way: type[ModulePack] = VmappedNetwork,
) -> ModulePack:
    """Return a pack after ``STEPS`` steps, all replicas on the same batches."""
    pack = network(seeds, kind, way)
    ids, x, y = data()
    algorithms = [
        Algorithm(
            network=MLP(hidden=()), learning_rate=LR, momentum=0.9, batch_size=BATCH, epochs=8,
        )
        for _ in strengths
    ]  # fmt: skip
    regularizer = kind(strengths, seeds, task(), x)
    step = AutogradStep(pack, algorithms, seeds, regularizer=regularizer)
    step.start_epoch(0)
    for own in ids:
        rows = own.expand(len(seeds), -1)
        step.step(Batch(rows, x[rows], y[rows]))
    return pack


def assert_equal(pack: ModulePack, models: Sequence[nn.Module]) -> None:
    for r, model in enumerate(models):
        for values, own in zip(pack.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(values[r], own.detach(), rtol=1e-9, atol=1e-12)


WAYS = (VmappedNetwork, SeparateNetworks)

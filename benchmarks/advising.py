"""What the benchmarks of the advice share: a trainer, and accuracy by true labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import byheart
from byheart.advising.arms import PLAIN, Arm, facts_of
from byheart.advising.trainer import Replica, Trainer
from byheart.networks.examine import examine
from byheart.training.recipe import Recipe

SOME = 500
"""Test examples per forward pass."""


def trainer_of(
    network: Callable[[], nn.Module], dataset: byheart.Dataset, recipe: Recipe
) -> Trainer:
    """Return what trains a network as an advice does."""
    found = examine(network, dataset.shape, dataset.n_classes)
    return Trainer(network, found, dataset, recipe, facts_of(network, found, dataset, recipe))


@torch.no_grad()
def tested(
    trainer: Trainer, arm: Arm, test: byheart.Dataset, seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Return the accuracy [S] on test examples after training on all examples.

    An arm that stops early is plain training up to there.
    """
    own = PLAIN if arm.stops_at is not None else arm
    run = trainer.run([Replica(own, seed, random=False) for seed in seeds])
    run.trained = torch.arange(len(trainer.dataset)).expand(len(seeds), -1)
    for epoch in range(arm.stops_at or trainer.recipe.epochs):
        run.train_epoch(epoch)
    parts = [
        run.network(x.flatten(1).expand(len(seeds), -1, -1)).argmax(2) for x in test.x.split(SOME)
    ]
    found: NDArray[np.float64] = (torch.cat(parts, 1) == test.y).double().mean(1).numpy()
    return found

"""Networks in training, as peers train them: what an audit trains, without its trackers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from byheart.data.dataset import Dataset
from byheart.networks.examine import examine
from byheart.networks.foreign import Source, initialised
from byheart.training.autograd_sgd import AutogradSGD
from byheart.training.own_run import OwnRun
from byheart.training.recipe import Recipe


def run_of(
    source: Source,
    data: Dataset,
    trained: NDArray[np.int64],
    recipe: Recipe,
    seeds: Sequence[int],
) -> OwnRun:
    """Return a pack that is ready to train.

    Args:
        source: of the networks.
        data: the examples.
        trained: [R, n] ids that each network trains on.
        recipe: how to train.
        seeds: [R] of initial weights and order.
    """
    found = examine(source, data.shape, data.n_classes)
    network = found.pack.stacked(
        [initialised(source, seed) for seed in seeds],
        takes=found.takes,
        shape=data.shape,
        seeds=seeds,
    )
    return OwnRun(
        network,
        AutogradSGD(network, [recipe.algorithm(source, found)] * len(seeds), seeds),
        data.x.flatten(1),
        trained,
        np.tile(data.y.numpy(), (len(seeds), 1)),
        seeds,
        batch_size=recipe.batch_size,
    )

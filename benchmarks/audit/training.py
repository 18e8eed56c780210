"""Networks in training, as peers train them: what an audit trains, without its trackers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from byheart.data.dataset import Dataset
from byheart.networks.examine import examine
from byheart.networks.foreign import Source, initialised
from byheart.training.examples import Examples
from byheart.training.loop import TrainingLoop
from byheart.training.recipe import Recipe


def examples_of(data: Dataset, trained: Tensor, held_out: Tensor) -> Examples:
    """Return the examples of replicas that train on some ids [R, n] and hold out others [R, m]."""
    return Examples.of(data.x, data.y.expand(len(trained), -1), trained, held_out)


def loop_of(
    source: Source, data: Dataset, examples: Examples, recipe: Recipe, seeds: Sequence[int]
) -> TrainingLoop:
    """Return the loop that trains a pack.

    Args:
        source: of the networks.
        data: the whole data set.
        examples: that each network trains on and holds out.
        recipe: how to train.
        seeds: [R] of initial weights and order.
    """
    examined = examine(source, data.shape, data.n_classes)
    network = examined.pack.stacked(
        [initialised(source, seed) for seed in seeds],
        takes=examined.takes,
        shape=data.shape,
        seeds=seeds,
    )
    algorithms = [recipe.algorithm(source, examined)] * len(seeds)
    return recipe.loop(network, algorithms, examples, seeds)

"""Second-split forgetting: what is forgotten when training goes on without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.audit.training import examples_of, loop_of
from byheart.data.dataset import Dataset
from byheart.networks.foreign import Source
from byheart.seeds import generator
from byheart.seeds import seed as seed_of
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.recipe import Recipe
from byheart.training.step import Batch

FIRST_AT_MOST = 2 / 3
"""Share of the epochs that the first half may take to be fitted."""


def forgotten_after(correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return after how many epochs on the second half an example was forgotten for good.

    Formula: max {e : a_e = 1}, counted from 1; 0 if a_e is never 1. The label of an example whose
    number is low is the more suspect.

    Args:
        correct: [E, N] whether it was classified as labelled after each epoch.

    Source: Maini et al., "Characterizing datapoints via second-split forgetting", NeurIPS 2022,
    section 3: the epoch from which on it is classified otherwise.
    """
    epochs = np.arange(1, len(correct) + 1)[:, None]
    found: NDArray[np.int64] = np.where(correct, epochs, 0).max(axis=0)
    return found


def second_split(
    source: Source, data: Dataset, recipe: Recipe, *, splits: int, seed: int
) -> tuple[NDArray[np.float64], float]:
    """Return how suspect each label is by second-split forgetting, and how much was fitted.

    Each random split trains two networks, each on one half first and then on the other, so that
    every example has a turn in a first half. The first half is trained on until every example in it
    is classified as labelled as it comes by, the second for the epochs that are left.

    Args:
        source: of the networks.
        data: an even number of examples.
        recipe: how to train; each network sees as many examples as whole data sets in its epochs.
        splits: number of splits.
        seed: of all that is drawn.

    Returns:
        [N] minus the mean over splits of the epochs until it was forgotten for good, and the share
        of the first halves that was classified as labelled when it was left.
    """
    halves = _halves(len(data), splits, seed)
    seeds = [seed_of("second split", seed, k) for k in range(len(halves))]
    first, second = (torch.from_numpy(halves[:, k]) for k in (0, 1))
    loop, wrong = loop_of(source, data, examples_of(data, first, second), recipe, seeds), _Wrong()
    loop.hooks.append(wrong)
    epochs = 2 * recipe.epochs
    for _ in range(round(FIRST_AT_MOST * epochs)):
        loop.train_epoch()
        if wrong.count == 0:
            break
    spent = loop.epoch
    fitted = _correct(loop, loop.examples.train_rows, loop.examples.train_y).mean()
    loop.examples = examples_of(data, second, first)
    correct = []
    for _ in range(spent, epochs):
        loop.train_epoch()
        correct.append(_correct(loop, loop.examples.validation_rows, loop.examples.validation_y))
    after = forgotten_after(np.stack(correct).reshape(len(correct), -1))
    total = np.zeros(len(data))
    np.add.at(total, halves[:, 0].ravel(), after)
    return -total / splits, float(fitted)


def _halves(n: int, splits: int, seed: int) -> NDArray[np.int64]:
    """Return [2 splits, 2, N / 2] ids: both halves of every split, both ways round."""
    orders: Sequence[NDArray[np.int64]] = [
        generator("halves", seed, k).permutation(n).reshape(2, -1) for k in range(splits)
    ]
    return np.stack([half for order in orders for half in (order, order[::-1])])


class _Wrong(Hook):
    """Counts the examples of an epoch that were not classified as labelled."""

    def start_epoch(self, loop: TrainingLoop) -> None:
        """Begin to count."""
        self.count = 0

    def on_batch(self, loop: TrainingLoop, batch: Batch, logits: Tensor) -> None:
        """Count those of a batch."""
        self.count += int((logits.argmax(2) != batch.y).sum())


def _correct(loop: TrainingLoop, rows: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    """Return which examples [R, M] are classified as labelled."""
    correct: NDArray[np.bool_] = (
        loop.examples.logits(loop.network, rows).argmax(2) == labels
    ).numpy()
    return correct

"""Second-split forgetting: what is forgotten when training goes on without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.audit.training import run_of
from byheart.data.dataset import Dataset
from byheart.networks.foreign import Source
from byheart.seeds import generator
from byheart.seeds import seed as seed_of
from byheart.training.own_run import OwnRun
from byheart.training.recipe import Recipe

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
    run = run_of(source, data, halves[:, 0], recipe, seeds)
    first, epochs = torch.from_numpy(halves[:, 0]), 2 * recipe.epochs
    for epoch in range(round(FIRST_AT_MOST * epochs)):
        if _fits(run, epoch):
            break
    spent, fitted = epoch + 1, _correct(run, first).mean()
    run.trained = torch.from_numpy(halves[:, 1])
    correct = []
    for epoch in range(spent, epochs):
        run.train_epoch(epoch)
        correct.append(_correct(run, first))
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


def _fits(run: OwnRun, epoch: int) -> bool:
    """Train an epoch, and return whether all examples were classified as labelled in it."""
    wrong = 0

    def saw(ids: Tensor, logits: Tensor) -> None:
        nonlocal wrong
        wrong += int((logits.argmax(2) != run.labels.gather(1, ids)).sum())

    run.train_epoch(epoch, saw)
    return wrong == 0


def _correct(run: OwnRun, ids: Tensor) -> NDArray[np.bool_]:
    """Return which examples [R, M] are classified as labelled."""
    found: list[Tensor] = []
    run.evaluate(ids, lambda i, logits: found.append(logits.argmax(2) == run.labels.gather(1, i)))
    return torch.cat(found, 1).numpy()

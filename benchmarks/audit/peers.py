"""The rankings of the audit's peers, at the same cost: AUM and others, cleanlab, second split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from benchmarks.audit.cases import NETWORKS, TRAININGS, Case
from benchmarks.audit.metrics import METRICS, Floats, metrics
from byheart.auditing.planting import Layout
from byheart.auditing.scores import (
    area_under_margin,
    confidence,
    cumulative_loss,
    forgetting_events,
    never_learned,
)
from byheart.auditing.training import train_runs
from byheart.data.dataset import Dataset
from byheart.networks.examine import examine
from byheart.networks.foreign import Source, initialised
from byheart.seeds import generator
from byheart.seeds import seed as seed_of
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Batch

FOLDS = 5
FIRST_AT_MOST = 2 / 3
"""Share of the epochs that may be spent on the first half of a split."""


def dynamics(case: Case) -> dict[str, Any]:
    """Return the metrics of the rankings that follow whole trainings."""
    data, _ = case.data()
    wrong = (data.y != data.clean_y).numpy()
    by_name = dynamics_scores(NETWORKS[case.source], data, case.recipe(), TRAININGS, case.seed)
    return {"rankings": {name: metrics(wrong, scores) for name, scores in by_name.items()}}


def dynamics_scores(
    source: Source, data: Dataset, recipe: Recipe, trainings: int, seed: int
) -> dict[str, Floats]:
    """Return scores [N] of whole trainings on all examples: higher is more suspect.

    The initial weights are those of the audit, so that luck with weights counts for no ranking. An
    example that was never learned counts as forgotten in every epoch [Toneva et al. 2019, sec. 3].
    """
    none = np.zeros((trainings, 0), np.int64)
    seeds = [seed_of("audit", seed, k) for k in range(trainings)]
    histories = train_runs(source, data, Layout(none, none, none), recipe, seeds).histories
    final_losses = [history.epoch(history.epochs - 1).loss for history in histories]
    return {
        "AUM": -area_under_margin(histories),
        "cumulative loss": cumulative_loss(histories),
        "cartography": -confidence(histories),
        "forgetting": forgetting_events(histories) + recipe.epochs * never_learned(histories),
        "final loss": np.mean(final_losses, axis=0),
    }


def folds(case: Case) -> dict[str, Any]:
    """Return each metric after every epoch [E], of both of cleanlab's scores."""
    data, _ = case.data()
    y, wrong = data.y.numpy(), (data.y != data.clean_y).numpy()
    curves: dict[str, dict[str, list[float]]] = {}
    for probabilities in out_of_fold(NETWORKS[case.source], data, case.recipe(), case.seed):
        for name, scores in cleanlab_scores(probabilities, y).items():
            curve = curves.setdefault(name, {metric: [] for metric in METRICS})
            for metric, value in metrics(wrong, scores).items():
                curve[metric].append(value)
    return {"cleanlab": curves}


def out_of_fold(source: Source, data: Dataset, recipe: Recipe, seed: int) -> Floats:
    """Return out-of-sample probabilities [E, N, classes] after every epoch.

    Each example is predicted by the network that did not train on it. Folds are stratified, as in
    cleanlab's tutorials. Their number divides the number of examples.
    """
    y = data.y.numpy()
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(y, y)
    trained, held_out = (np.stack(ids) for ids in zip(*splits, strict=True))
    examples = _examples(data, torch.from_numpy(trained), torch.from_numpy(held_out))
    seeds = [seed_of("fold", seed, k) for k in range(FOLDS)]
    loop = _loop(source, data, examples, recipe, seeds)
    probabilities = np.zeros((recipe.epochs, len(data), data.n_classes))
    for epoch in range(recipe.epochs):
        loop.train_epoch()
        logits = examples.logits(loop.network, examples.validation_rows)
        probabilities[epoch, held_out] = torch.softmax(logits.double(), 2).numpy()
    return probabilities


def cleanlab_scores(probabilities: Floats, y: NDArray[np.int64]) -> dict[str, Floats]:
    """Return cleanlab's two scores of single labels with their sign turned: high is suspect.

    Args:
        probabilities: [N, classes] out of sample.
        y: [N] labels.
    """
    from cleanlab.rank import (
        get_normalized_margin_for_each_label,
        get_self_confidence_for_each_label,
    )

    return {
        "self-confidence": -get_self_confidence_for_each_label(y, probabilities),
        "normalized margin": -get_normalized_margin_for_each_label(y, probabilities),
    }


def halves(case: Case) -> dict[str, Any]:
    """Return the metrics of second-split forgetting, and the share of first halves fitted."""
    data, _ = case.data()
    scores, fitted = second_split(
        NETWORKS[case.source], data, case.recipe(), splits=TRAININGS // 2, seed=case.seed
    )
    wrong = (data.y != data.clean_y).numpy()
    return {"fitted": fitted, "rankings": {"second-split forgetting": metrics(wrong, scores)}}


def second_split(
    source: Source, data: Dataset, recipe: Recipe, *, splits: int, seed: int
) -> tuple[Floats, float]:
    """Return how suspect each label is by second-split forgetting, and how much was fitted.

    Each random split trains two networks: each on one half first and then on the other. So every
    example is once in a first half. Training on the first half ends when every example in it is
    classified as labelled while it is trained on. The second half gets the epochs that remain.

    Args:
        source: of the networks.
        data: an even number of examples.
        recipe: how to train; a network sees as many examples as on the whole data set.
        splits: number of splits.
        seed: of all random numbers.

    Returns:
        [N] minus the mean over splits of the epochs until an example was forgotten for good, and
        the share of the first halves that was classified as labelled at their end.
    """
    orders = [generator("halves", seed, k).permutation(len(data)) for k in range(splits)]
    pairs = [order.reshape(2, -1) for order in orders]
    both_ways = np.stack([half for pair in pairs for half in (pair, pair[::-1])])
    seeds = [seed_of("second split", seed, k) for k in range(len(both_ways))]
    first, second = (torch.from_numpy(both_ways[:, k]) for k in (0, 1))
    loop = _loop(source, data, _examples(data, first, second), recipe, seeds)
    wrong = _WrongCount()
    loop.hooks.append(wrong)
    epochs = 2 * recipe.epochs
    for _ in range(round(FIRST_AT_MOST * epochs)):
        loop.train_epoch()
        if wrong.count == 0:
            break
    spent = loop.epoch
    fitted = _correct(loop, loop.examples.train_rows, loop.examples.train_y).mean()
    loop.examples = _examples(data, second, first)
    correct = []
    for _ in range(spent, epochs):
        loop.train_epoch()
        correct.append(_correct(loop, loop.examples.validation_rows, loop.examples.validation_y))
    after = forgotten_after(np.stack(correct).reshape(len(correct), -1))
    total = np.zeros(len(data))
    np.add.at(total, both_ways[:, 0].ravel(), after)
    return -total / splits, float(fitted)


def forgotten_after(correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return after how many epochs on the second half an example was forgotten for good.

    Formula: max {e : a_e = 1}, counted from 1; 0 if a_e is never 1. A low number is suspect.

    Args:
        correct: [E, N] whether it was classified as labelled after each epoch.

    Source: Maini et al., "Characterizing datapoints via second-split forgetting", NeurIPS 2022,
    section 3: the epoch from which on it is classified otherwise.
    """
    epochs = np.arange(1, len(correct) + 1)[:, None]
    last: NDArray[np.int64] = np.where(correct, epochs, 0).max(axis=0)
    return last


class _WrongCount(Hook):
    """Counts the examples of an epoch that are not classified as labelled while it trains."""

    def start_epoch(self, loop: TrainingLoop) -> None:
        """Set the count to zero."""
        self.count = 0

    def on_batch(self, loop: TrainingLoop, batch: Batch, logits: Tensor) -> None:
        """Add the count of a batch."""
        self.count += int((logits.argmax(2) != batch.y).sum())


def _correct(loop: TrainingLoop, rows: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    """Return which examples [R, M] are classified as labelled."""
    predicted = loop.examples.logits(loop.network, rows).argmax(2)
    correct: NDArray[np.bool_] = (predicted == labels).numpy()
    return correct


def _examples(data: Dataset, trained: Tensor, held_out: Tensor) -> Examples:
    """Return the examples of replicas that train on some ids [R, n] and hold out others [R, m]."""
    return Examples.of(data.x, data.y.expand(len(trained), -1), trained, held_out)


def _loop(
    source: Source, data: Dataset, examples: Examples, recipe: Recipe, seeds: Sequence[int]
) -> TrainingLoop:
    """Return the loop that trains a pack, as an audit trains it but without its trackers.

    Args:
        source: of the networks.
        data: the whole data set.
        examples: that each network trains on and holds out.
        recipe: how to train.
        seeds: [R] of initial weights and order.
    """
    facts = examine(source, data.shape, data.n_classes)
    network = facts.pack.stacked(
        [initialised(source, seed) for seed in seeds],
        takes=facts.takes,
        shape=data.shape,
        seeds=seeds,
    )
    algorithms = [recipe.algorithm(source, facts)] * len(seeds)
    return recipe.loop(network, algorithms, examples, seeds, classes=data.n_classes)

"""The two rounds of an audit: trainings on the labels as they are, then some with planted flips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from byheart.auditing.following import Followed, follow
from byheart.auditing.gradients import epochs_to_measure, sensitivity
from byheart.auditing.groups import Grouping
from byheart.auditing.history import History
from byheart.auditing.keeping import Keeping
from byheart.auditing.onset import Onset, find_onset
from byheart.auditing.planting import FlipModel, Layout, excluded_flips, hold_out, plant
from byheart.auditing.scores import suspicion, window_of
from byheart.auditing.table import suggested
from byheart.data.dataset import Dataset
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

HELD_OUT = 0.10
"""Share of examples that each seed does not train on."""


@dataclass(frozen=True, eq=False)
class Rounds:
    """What both rounds left.

    Attributes:
        histories: one per seed.
        onset: by what all of them held out.
        window: the epochs that suspicion is averaged over: the first so many.
        user: [S, N] suspicion of the user's labels in each seed of the second round.
        planted: [S, P] suspicion of the flips that each of them planted.
        grouping: which examples and flips are of classes that the first round confused.
        sensitivity: [N] input gradients of the first round, averaged up to the onset; None if they
            were not asked for.
        network: the first that was trained, in eval mode.
    """

    histories: list[History]
    onset: Onset
    window: int
    user: NDArray[np.float64]
    planted: NDArray[np.float64]
    grouping: Grouping
    sensitivity: NDArray[np.float64] | None
    network: nn.Module


def train_in_rounds(
    source: Source,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seeds: int,
    planted: float,
    gradients: bool,
    seed: int,
    keeping: Keeping | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> Rounds:
    """Train half of the seeds, and the other half with flips modelled on what the first doubted.

    Args:
        source: of the networks.
        dataset: the user's.
        recipe: how to train.
        seeds: number of trainings, 2 or more.
        planted: share of labels that a seed of the second round changes.
        gradients: whether to take input gradients in the first round.
        seed: of all that is drawn.
        keeping: see :func:`byheart.auditing.following.follow`.
        on_epoch: see :func:`byheart.auditing.following.follow`.
    """
    y, half = dataset.y.numpy(), seeds // 2
    layout = hold_out(y, seeds=seeds, share=HELD_OUT, seed=seed)
    trained = [seed_of("audit", seed, k) for k in range(seeds)]
    first = follow(
        source,
        dataset,
        layout.seeds(0, half),
        recipe,
        trained[:half],
        gradients_at=epochs_to_measure(recipe.epochs) if gradients else (),
        keeping=keeping,
        on_epoch=on_epoch,
    )
    model = _flip_model(first, y, find_onset(first.histories, layout.held_out[:half], seed=seed))
    flips = plant(layout.seeds(half, seeds), model, share=planted, seed=seed)
    second = follow(
        source, dataset, flips, recipe, trained[half:], keeping=keeping, on_epoch=on_epoch
    )
    histories = [*first.histories, *second.histories]
    onset = find_onset(histories, layout.held_out, seed=seed)
    window = window_of(onset.epoch, recipe.epochs)
    scores = [suspicion(one, stop=window) for one in second.planted]
    return Rounds(
        histories=histories,
        onset=onset,
        window=window,
        user=np.stack([suspicion(one, stop=window) for one in second.histories]),
        planted=np.stack(scores) if scores else np.zeros((len(second.histories), 0)),
        grouping=_grouping(model, flips, second),
        sensitivity=sensitivity(first.gradients, onset.epoch) if gradients else None,
        network=first.networks[0],
    )


def _flip_model(first: Followed, y: NDArray[np.int64], onset: Onset) -> FlipModel:
    scores = suspicion(first.histories, stop=onset.epoch)
    return FlipModel(y, scores, suggested(first.histories).classes)


def _grouping(model: FlipModel, flips: Layout, second: Followed) -> Grouping:
    """Return which examples and flips are of classes that are confused, as networks see them.

    The true class of a flip is known. Flips still count by the class that networks suggest, as
    examples do.
    """
    y, planted = model.labels, flips.planted
    suggestions = [suggested([history]).classes for history in second.planted]
    excluded = excluded_flips(model, model.likely_classes[planted], flips.planted_labels)
    confused = model.are_confused(y, model.suggested)
    return Grouping(
        model.are_confused(model.suggested, y),
        model.are_confused(np.stack(suggestions) if suggestions else planted, flips.planted_labels),
        np.stack([np.where(confused, 0, excluded), np.where(confused, excluded, 0)]),
    )

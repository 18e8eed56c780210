"""``byheart.audit``: which examples does *my* network memorize, and which labels look wrong?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from byheart.auditing.audit import PRECISION, Audit, assemble, require_precision
from byheart.auditing.calibration import calibrate
from byheart.auditing.keeping import Keeping
from byheart.auditing.rounds import train_in_rounds
from byheart.auditing.scores import suspicion
from byheart.auditing.subsets import Subsets, train_on_subsets
from byheart.auditing.table import scores
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.measures.critical.bracket import critical_samples
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS
from byheart.networks.foreign import Source
from byheart.training.packs import find_device
from byheart.training.recipe import Recipe

FLIPS, PLANTED = 600, 0.06
"""Planted flips over all seeds, and largest share of labels per seed, by default. More flips would
sharpen the estimates, but networks learn worse from changed labels."""
FEWEST_EXAMPLES = 20
FEWEST_SUBSETS = 10
"""With fewer subsets, too few of them contain (or leave out) an example to compare."""
CRITICAL_STEPS = 20


def audit(
    model_factory: Source,
    dataset: Dataset,
    *,
    epochs: int = 20,
    seeds: int = 4,
    learning_rate: float = 0.05,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    precision: float = PRECISION,
    planted: float | None = None,
    sensitivity: bool = True,
    critical_radius: float | None = None,
    subsets: int = 0,
    seed: int = 0,
    device: str = "cpu",
    keep: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Audit:
    """Train a network a few times, and return what it memorizes and which labels look wrong.

    Each run holds out a tenth of the examples. The epoch at which accuracy on held-out examples is
    highest is the onset of memorization. The suspicion of an example is minus its margin, averaged
    over runs and over epochs up to twice the onset.

    The first half of the runs train on the labels as they are. The other half change some labels on
    purpose, modelled on the labels that the first half doubted. The ranks of these planted flips
    tell how many of the user's labels are wrong, and how precise the ranking is. A run whose flips
    include an example is left out of that example's scores.

    These estimates assume that the data's own mistakes resemble the planted flips. Mistakes that
    every network believes (annotators share them) are not counted: an estimate near 0 does not
    prove that all labels are right.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable".
        dataset: the examples with their labels.
        epochs: epochs per run: enough to begin to memorize.
        seeds: number of runs, 2 or more.
        learning_rate: of SGD.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient.
        batch_size: examples per step.
        precision: target precision of the flagged list: the share of it whose labels are wrong.
        planted: share of labels that each run of the second half changes; with 0, nothing is
            flagged. By default 600 labels over all runs, at most 6% per run.
        sensitivity: add the column of input gradients; takes about a tenth more time.
        critical_radius: add the column ``critical``: search a box of this radius around each input
            for another class, with the first trained network.
        subsets: number of further runs, each on 70% of the examples, for the columns of Feldman and
            Zhang's estimates: 0, or 10 and more. 60 give a standard error near 0.13.
        seed: of all random draws.
        device: "cpu", "cuda" or "mps".
        keep: folder for the state of runs, written about every ten seconds. After an interruption,
            the same call goes on from there and returns the same numbers. Remove it afterwards.
        on_epoch: called with (epochs done, epochs in all), over all runs.

    Raises:
        StoreError: the folder ``keep`` cannot be written, or the disk is full.
        InputError: an argument out of range, a network that cannot be trained on these data, or a
            run that diverged.
    """
    _require_counts(epochs=(epochs, 1), batch_size=(batch_size, 1), seeds=(seeds, 2))
    if planted is None:
        planted = min(PLANTED, FLIPS / (seeds - seeds // 2) / max(len(dataset), 1))
    _require_in_range(planted, subsets)
    if len(dataset) < FEWEST_EXAMPLES:
        raise InputError(
            f"data set '{dataset.name}' has {len(dataset)} examples: an audit needs "
            f"{FEWEST_EXAMPLES}, since each run holds some out"
        )
    recipe = Recipe(epochs, learning_rate, momentum, weight_decay, batch_size, find_device(device))
    precision = require_precision(precision)
    advance = _progress(on_epoch, (seeds + subsets) * epochs)
    keeping = None if keep is None else Keeping(Path(keep))
    rounds = train_in_rounds(
        model_factory,
        dataset,
        recipe,
        seeds=seeds,
        planted=planted,
        gradients=sensitivity,
        seed=seed,
        keeping=keeping,
        on_epoch=advance,
    )
    mean = suspicion(rounds.histories, stop=rounds.window)
    further: dict[str, NDArray[Any]] = {}
    if rounds.sensitivity is not None:
        further["sensitivity"] = rounds.sensitivity.astype(np.float32)
    if critical_radius is not None:
        further["critical"] = _critical(rounds.network, dataset, critical_radius, device, seed)
    if subsets:
        further |= _columns(
            train_on_subsets(
                model_factory,
                dataset,
                recipe,
                count=subsets,
                seed=seed,
                keeping=keeping,
                on_epoch=advance,
            )
        )
    return assemble(
        scores(rounds.histories),
        rounds.histories,
        mean,
        rounds.window,
        rounds.onset,
        calibrate(
            mean, rounds.user, rounds.planted, wanted=precision, grouping=rounds.grouping, seed=seed
        ),
        dataset,
        dataset.name,
        dataset.classes,
        flips=rounds.planted.size,
        further=further,
        seed=seed,
    )


def _critical(
    network: nn.Module, dataset: Dataset, radius: float, device: str, seed: int
) -> NDArray[np.bool_]:
    """Return which examples have another class within a box; steps are in the papers' ratio."""
    result = critical_samples(
        network,
        dataset.x.to(device),
        radius=radius,
        step=STEP_PER_RADIUS * radius,
        noise=NOISE_PER_RADIUS * radius,
        max_steps=CRITICAL_STEPS,
        certify=False,
        control=False,
        seed=seed,
    )
    return np.asarray(result.critical.cpu().numpy())


def _columns(subsets: Subsets) -> dict[str, NDArray[Any]]:
    return {
        "memorization": subsets.memorization.astype(np.float32),
        "memorization_error": subsets.error.astype(np.float32),
        "influenced_by": subsets.influenced_by,
        "influence": subsets.influence.astype(np.float32),
        "influence_error": subsets.influence_error.astype(np.float32),
    }


def _progress(on_epoch: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(epochs: int) -> None:
        nonlocal done
        done += epochs
        if on_epoch is not None:
            on_epoch(done, total)

    return advance


def _require_counts(**counts: tuple[int, int]) -> None:
    for name, (count, least) in counts.items():
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
            raise InputError(f"{name} must be a whole number of {least} or more, got {count!r}")


def _require_in_range(planted: float, subsets: int) -> None:
    if not 0 <= planted <= 0.3:
        raise InputError(f"planted must be from 0 to 0.3, got {planted!r}")
    if isinstance(subsets, bool) or not isinstance(subsets, int | np.integer):
        raise InputError(f"subsets must be a whole number, got {subsets!r}")
    if subsets and subsets < FEWEST_SUBSETS:
        raise InputError(f"subsets must be 0, or {FEWEST_SUBSETS} and more, got {subsets}")

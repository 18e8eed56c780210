"""``byheart.audit``: what does *my* network know by heart, and whose labels look wrong?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from byheart.auditing.calibration import calibrate
from byheart.auditing.keeping import Keeping
from byheart.auditing.result import PRECISION, Audit, assemble, wanted
from byheart.auditing.rounds import train_in_rounds
from byheart.auditing.subsets import Subsets, train_on_subsets
from byheart.auditing.suspicion import suspicion
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.measures.critical.search import critical_samples
from byheart.networks.foreign import Source
from byheart.training.device import find_device
from byheart.training.recipe import Recipe

__all__ = ["Audit", "audit"]

FLIPS, PLANTED = 600, 0.06
"""How many labels are changed if not said otherwise, over all seeds, and what share at most by
each: enough to learn from, and no more, since networks learn worse from changed labels."""
FEWEST_EXAMPLES = 20
FEWEST_SUBSETS = 10
"""Trainings on subsets below which each side of a comparison has next to none."""
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
    """Train a network a few times, and return what it knows by heart and whose labels look wrong.

    Each seed holds out a tenth of the examples: the epoch at which accuracy on them is highest is
    the onset of memorization, and suspicion is an example's margin, averaged up to twice that epoch
    and over seeds. The first half of the seeds train on the labels as they are. The other half
    change a few more, in the way in which the first half found labels to be wrong; how these
    planted flips rank tells how many of the user's own labels are wrong and how far down the
    ranking to believe it.
    An example whose label was changed is judged by the seeds in which it was not.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable".
        dataset: the examples, with the labels they have.
        epochs: passes over the data, of each training; enough to begin to memorize.
        seeds: number of trainings, 2 or more.
        learning_rate: of SGD.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient.
        batch_size: examples per step.
        precision: wanted of the list that is flagged: the share of it whose labels are wrong.
        planted: share of labels that each of the other half changes; 0 leaves all as they are, and
            flags nothing. If not given, 600 in all, but 6% of labels at most.
        sensitivity: take the column of input gradients; costs about a tenth more.
        critical_radius: of the box that the column ``critical`` searches around each input, in the
            first network as trained; not searched if not given.
        subsets: number of further trainings, each on 70% of the examples, for the columns of
            Feldman and Zhang's estimates: 0, or 10 and more; 60 give a standard error near 0.13.
        seed: of all that is drawn.
        device: "cpu", "cuda" or "mps".
        keep: folder where what is trained is kept every ten seconds or so; after an interruption
            the same call goes on from there, and gives the same numbers. Remove it at the end.
        on_epoch: called with (epochs done, epochs in all), over all trainings.

    Raises:
        StoreError: the folder ``keep`` cannot be written, or the disk is full.
        InputError: an argument out of range, a network that cannot be trained on these data, or a
            training that diverged.
    """
    _require_counts(epochs=(epochs, 1), batch_size=(batch_size, 1), seeds=(seeds, 2))
    if planted is None:
        planted = min(PLANTED, FLIPS / (seeds - seeds // 2) / max(len(dataset), 1))
    _require_in_range(planted, subsets)
    if len(dataset) < FEWEST_EXAMPLES:
        raise InputError(
            f"data set '{dataset.name}' has {len(dataset)} examples: an audit needs "
            f"{FEWEST_EXAMPLES}, of which each training holds some out"
        )
    recipe = Recipe(epochs, learning_rate, momentum, weight_decay, batch_size, find_device(device))
    precision = wanted(precision)
    advance = _progress(on_epoch, (seeds + subsets) * epochs)
    keeping = None if keep is None else Keeping(Path(keep))
    found = train_in_rounds(
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
    total = suspicion(found.histories, stop=found.window)
    further: dict[str, NDArray[Any]] = {}
    if found.sensitivity is not None:
        further["sensitivity"] = found.sensitivity.astype(np.float32)
    if critical_radius is not None:
        further["critical"] = _critical(found.network, dataset, critical_radius, device, seed)
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
        found.histories,
        total,
        found.window,
        found.onset,
        calibrate(total, found.user, found.planted, wanted=precision, kinds=found.kinds, seed=seed),
        dataset,
        dataset.name,
        dataset.classes,
        flips=found.planted.size,
        further=further,
        seed=seed,
    )


def _critical(
    network: nn.Module, dataset: Dataset, radius: float, device: str, seed: int
) -> NDArray[np.bool_]:
    """Return which examples have another class within a box; steps are in the papers' ratio."""
    found = critical_samples(
        network,
        dataset.x.to(device),
        radius=radius,
        step=radius * 0.25 / 0.3,
        noise=radius * 0.2 / 0.3,
        max_steps=CRITICAL_STEPS,
        certify=False,
        control=False,
        seed=seed,
    )
    return np.asarray(found.critical.cpu().numpy())


def _columns(found: Subsets) -> dict[str, NDArray[Any]]:
    return {
        "memorization": found.memorization.astype(np.float32),
        "memorization_error": found.error.astype(np.float32),
        "influenced_by": found.influenced_by,
        "influence": found.influence.astype(np.float32),
        "influence_error": found.influence_error.astype(np.float32),
    }


def _progress(on_epoch: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(trainings: int) -> None:
        nonlocal done
        done += trainings
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

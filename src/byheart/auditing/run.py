"""``byheart.audit``: which examples does *my* network memorize, and which labels look wrong?"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from byheart.auditing.audit import PRECISION, Audit, assemble
from byheart.auditing.calibration import require_precision
from byheart.auditing.onset import find_onset
from byheart.auditing.planting import NO_BOUNDS, Layout, Planted, bounds_of, hold_out, plant
from byheart.auditing.scores import likely_classes, scores, suspicion, window_of
from byheart.auditing.subsets import train_on_subsets
from byheart.auditing.training import Runs, epochs_to_measure, sensitivity_up_to, train_runs
from byheart.data.dataset import Dataset
from byheart.data.sources import as_dataset
from byheart.errors import InputError
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS
from byheart.measures.critical.single import critical_samples
from byheart.networks.default import default_network, named
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.store.checkpoints import Checkpoints
from byheart.training.recipe import Recipe, chosen_recipe

HELD_OUT = 0.10
"""Share of examples that each run does not train on."""
FEWEST_EXAMPLES = 20
FEWEST_SUBSETS = 10
"""With fewer subsets, too few of them contain (or leave out) an example to compare."""
CRITICAL_STEPS = 20


def audit(
    model_factory: Source | None,
    dataset: Any,
    *,
    label: str | None = None,
    text: str | None = None,
    recipe: Recipe | None = None,
    epochs: int | None = None,
    seeds: int = 4,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    precision: float = PRECISION,
    planted: float = 0.0,
    sensitivity: bool = True,
    critical_radius: float | None = None,
    subsets: int = 0,
    seed: int = 0,
    device: str | None = None,
    keep: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Audit:
    """Train a network a few times, and return what it memorizes and which labels look wrong.

    Each run holds out a tenth of the examples. The epoch at which accuracy on held-out examples is
    highest is the onset of memorization. The suspicion of an example is minus its margin, averaged
    over runs and over epochs up to twice the onset.

    How many labels are wrong is unknown until a person reviews some: draw them with
    :meth:`Audit.to_review`, and give the verdicts to :meth:`Audit.review`. With ``planted``, more
    networks train on labels of which some were changed on purpose (see :func:`byheart.plant`); how
    these rank bounds the number of wrong labels. It does not change the ranking.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable". None: a default network for these data,
            see :mod:`byheart.networks.default`.
        dataset: the examples with their labels: a :class:`Dataset`, or what
            :func:`byheart.load_dataset` loads, such as the path of a table, a frame of pandas, or a
            pair (x, y).
        label: the column of a table that has the labels.
        text: the column of a table that has texts.
        recipe: how to train: a :class:`byheart.Recipe`. Default: AdamW with learning rate 0.003
            and a cosine schedule, for 20 epochs in batches of 32.
        epochs: replaces that of the recipe: enough epochs to begin to memorize.
        seeds: number of runs, 2 or more.
        learning_rate: likewise; without a recipe it is that of SGD.
        momentum: likewise.
        weight_decay: likewise.
        batch_size: likewise.
        precision: target precision of the flagged list: the share of it whose labels are wrong.
        planted: share of labels that half as many further runs change on purpose; 0 for none.
        sensitivity: add the column of input gradients, which half of the runs measure at each of
            epochs 1, 2, 3, 5, 8, ...; takes about a tenth more time.
        critical_radius: add the column ``critical``: search a box of this radius around each input
            for another class, with the first trained network.
        subsets: number of further runs, each on 70% of the examples, for the columns of Feldman and
            Zhang's estimates: 0, or 10 and more. 60 give a standard error near 0.13.
        seed: base seed of all random draws.
        device: replaces that of the recipe: "auto", "cpu", "cuda" or "mps".
        keep: folder for the state of runs, written about every ten seconds. After an interruption,
            the same call goes on from there and returns the same numbers. Remove it afterwards.
        on_epoch: called with (epochs done, epochs in all), over all runs.

    Raises:
        StoreError: the folder ``keep`` cannot be written, or the disk is full.
        InputError: an argument out of range, a network that cannot be trained on these data, or a
            run that diverged.
    """
    dataset = as_dataset(dataset, label, text)
    source = default_network(dataset) if model_factory is None else model_factory
    _require_whole("seeds", seeds, 2)
    _require_whole("subsets", subsets, 0)
    if 0 < subsets < FEWEST_SUBSETS:
        raise InputError(f"subsets must be 0, or {FEWEST_SUBSETS} and more, got {subsets}")
    if not 0 <= planted <= 0.3:
        raise InputError(f"planted must be from 0 to 0.3, got {planted!r}")
    if len(dataset) < FEWEST_EXAMPLES:
        raise InputError(
            f"data set '{dataset.name}' has {len(dataset)} examples: an audit needs "
            f"{FEWEST_EXAMPLES}, since each run holds some out"
        )
    precision = require_precision(precision)
    recipe = chosen_recipe(
        recipe,
        epochs=epochs,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        device=device,
    )
    epochs = recipe.epochs
    train = partial(
        train_runs,
        source,
        dataset,
        recipe=recipe,
        checkpoints=None if keep is None else Checkpoints(Path(keep)),
        on_epoch=_progress(on_epoch, (seeds + subsets + (seeds // 2 if planted else 0)) * epochs),
    )
    layout = hold_out(dataset.y.numpy(), seeds=seeds, share=HELD_OUT, seed=seed)
    runs = train(
        layout,
        seeds=[seed_of("audit", seed, k) for k in range(seeds)],
        gradients_at=epochs_to_measure(epochs) if sensitivity else (),
    )
    histories = runs.histories
    onset = find_onset(histories, layout.held_out, seed=seed)
    window = window_of(onset.epoch, epochs)
    kinds = NO_BOUNDS
    if planted:
        kinds = _bounds(train, dataset, runs, window, planted, seeds=seeds // 2, seed=seed)
        if len(onset.never) >= len(np.unique(dataset.y.numpy())) - 1:
            # All held-out examples are predicted as one class: flips to it cannot be found.
            kinds["most_wrong"] = 1.0
    further: dict[str, NDArray[Any]] = {}
    if sensitivity:
        further["sensitivity"] = sensitivity_up_to(runs.gradients, onset.epoch).astype(np.float32)
    if critical_radius is not None:
        further["critical"] = _critical(
            runs.networks[0], dataset, critical_radius, recipe.device, seed
        )
    if subsets:
        further |= train_on_subsets(train, dataset, recipe.device, count=subsets, seed=seed)
    return assemble(
        scores(histories),
        histories,
        suspicion(histories, stop=window),
        window,
        onset,
        kinds,
        precision,
        dataset,
        dataset.name,
        dataset.classes,
        further=further,
        facts={"Network": named(source), "Training": str(recipe)},
        seed=seed,
    )


def _bounds(
    train: Callable[..., Runs],
    dataset: Dataset,
    runs: Runs,
    window: int,
    share: float,
    *,
    seeds: int,
    seed: int,
) -> pd.DataFrame:
    """Train more networks on planted labels, and return what these say of the share of wrong ones.

    Nothing is held out there. The suspicion of all labels is that of these runs alone.
    """
    y = dataset.y.numpy()
    belief = likely_classes(runs.histories, stop=window)
    flips: Planted = plant(y, share, "all", belief, seed=seed)
    nothing = np.zeros((seeds, 0), np.int64)
    ids, labels = (np.tile(row, (seeds, 1)) for row in (flips.ids, flips.labels[flips.ids]))
    trained = train(
        Layout(nothing, ids, labels), seeds=[seed_of("planted", seed, k) for k in range(seeds)]
    )
    scores = suspicion(trained.histories, stop=window)
    scores[flips.ids] = suspicion(trained.planted, stop=window)
    return bounds_of(scores, flips)


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


def _progress(on_epoch: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(epochs: int) -> None:
        nonlocal done
        done += epochs
        if on_epoch is not None:
            on_epoch(done, total)

    return advance


def _require_whole(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
        raise InputError(f"{name} must be a whole number of {least} or more, got {number!r}")

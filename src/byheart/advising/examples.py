"""Which examples each seed trains on and holds out, its random labels, and trusted examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.seeds import generator

HELD_OUT = 0.2
"""Share of each class that a seed holds out."""
FEWEST = 5
"""Examples of a class: fewer leave none to hold out."""
TABLE_COLUMNS = ("label", "flagged")
"""Columns that are read from the table of an audit."""

Ids = NDArray[np.int64]


def held_out(y: Ids, seed: int) -> Ids:
    """Return the ids [H] that a seed does not train on: a fifth of each class, ascending.

    Every seed holds out other examples, the same for all regularizers.
    """
    rng = generator("advise held out", seed)
    parts = []
    for k in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == k))
        parts.append(members[: round(HELD_OUT * len(members))])
    return np.sort(np.concatenate(parts))


def trained(y: Ids, seed: int) -> Ids:
    """Return the ids [n] that a seed trains on, ascending."""
    mask = np.ones(len(y), bool)
    mask[held_out(y, seed)] = False
    return np.flatnonzero(mask)


def random_labels(examples: int, classes: int, seed: int) -> Ids:
    """Return labels [N] drawn uniformly from all classes (randY).

    Source: A17 section 2; Zhang et al. (2017).
    """
    return generator("advise labels", seed).integers(classes, size=examples)


def require_enough(dataset: Dataset) -> None:
    """Require examples of every class to train on and to hold out.

    Raises:
        InputError: a class has fewer than five examples; one without any is left aside.
    """
    counts = np.bincount(dataset.y.numpy(), minlength=dataset.n_classes)
    short = [k for k, count in enumerate(counts) if 0 < count < FEWEST]
    if short:
        k = min(short, key=lambda k: counts[k])
        raise InputError(
            f"data set '{dataset.name}': class '{dataset.classes[k]}' has {counts[k]} examples, "
            f"and {FEWEST} are needed to hold a fifth out: add some, or leave the class out"
        )


def read_trusted(path: Path, dataset: Dataset) -> list[bool]:
    """Return whether each label is believed to be right, [N]: it is not flagged in a table.

    Args:
        path: ``table.csv`` of `byheart audit`.
        dataset: the examples that were audited, in the same order.

    Raises:
        InputError: the file cannot be read, is no such table, is of other examples, or has nothing
            left to trust.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no CSV file"
        raise InputError(
            f"trusted: cannot read {path} ({why}): give table.csv of `byheart audit`"
        ) from error
    if not set(TABLE_COLUMNS) <= set(table.columns) or table["flagged"].dtype != bool:
        raise InputError(
            f"trusted: {path} has no columns 'label' and 'flagged' (True or False): give table.csv "
            "of `byheart audit`"
        )
    same = "give the same data, --examples and --seed as to the audit"
    if len(table) != len(dataset):
        raise InputError(
            f"trusted: {path} has {len(table)} rows, and there are {len(dataset)} examples: {same}"
        )
    different = np.flatnonzero(table["label"].to_numpy() != dataset.y.numpy())
    if len(different):
        i = int(different[0])
        raise InputError(
            f"trusted: row {i} of {path} has label {table['label'][i]}, and example {i} has "
            f"{int(dataset.y[i])}: {same}"
        )
    trusted = ~table["flagged"].to_numpy()
    if not trusted.any():
        raise InputError(f"trusted: every row of {path} is flagged: there is nothing to trust")
    kept: list[bool] = trusted.tolist()
    return kept

"""What each seed trains on and holds out, and its random labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.seeds import generator

HELD_OUT = 0.2
"""Share of each class that a seed holds out."""
FEWEST = 5
"""Examples of a class: fewer leave none to hold out."""

Ids = NDArray[np.int64]


def held_out(y: Ids, seed: int) -> Ids:
    """Return the ids [H] that a seed does not train on: a fifth of each class, ascending.

    All regularizers of a seed hold out the same; every seed holds out others.
    """
    rng = generator("advise held out", seed)
    parts = []
    for k in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == k))
        parts.append(own[: round(HELD_OUT * len(own))])
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

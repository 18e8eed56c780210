"""Class-balanced, disjoint draws of examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byheart.errors import InputError
from byheart.seeds import generator


def split_indices(
    y: Tensor,
    n_classes: int,
    train: int,
    validation: int,
    seed: int,
    classes: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw training and validation examples: disjoint, and each balanced over the classes.

    Every example gets two random numbers. The first ranks it within its class: validation takes
    the lowest ranks and training the next, so the validation set is the same for every training
    size. The second gives the order, which therefore tells nothing of the class.

    Args:
        y: labels ``[N]``.
        n_classes: number of classes.
        train: number of training examples; where it is no multiple of ``n_classes``, class counts
            differ by at most one.
        validation: number of validation examples, likewise.
        seed: draws which examples, and their order.
        classes: class names, for the error.

    Returns:
        Indices into ``y`` of the training and of the validation examples.

    Raises:
        InputError: a size below zero, no training example, or a class with too few examples.
    """
    if train < 1 or validation < 0:
        raise InputError(
            f"cannot draw {train} training and {validation} validation examples: "
            "ask for at least 1 and 0"
        )
    labels = y.cpu().numpy()
    rng = generator("subset", seed)
    rank, order = rng.random(len(labels)), rng.random(len(labels))
    extra = rng.permutation(n_classes)
    # Odd examples of the two parts go to different classes, so that no class must give two.
    for_training = _shares(train, extra)
    for_validation = _shares(validation, extra[::-1])
    _require(labels, for_training, for_validation, classes)

    by_class = np.lexsort((rank, labels))
    starts = np.searchsorted(labels[by_class], np.arange(n_classes))
    place = np.arange(len(labels)) - starts[labels[by_class]]
    held, wanted = for_validation[labels[by_class]], for_training[labels[by_class]]
    parts = (by_class[(place >= held) & (place < held + wanted)], by_class[place < held])
    first, second = (torch.from_numpy(part[np.argsort(order[part])]) for part in parts)
    return first, second


def _shares(size: int, extra: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    shares = np.full(len(extra), size // len(extra))
    shares[extra[: size % len(extra)]] += 1
    return shares


def _require(
    labels: npt.NDArray[np.int64],
    for_training: npt.NDArray[np.int64],
    for_validation: npt.NDArray[np.int64],
    classes: Sequence[str] | None,
) -> None:
    has = np.bincount(labels, minlength=len(for_training))
    needs = for_training + for_validation
    short = np.flatnonzero(has < needs)
    if not len(short):
        return
    worst = int(short[np.argmax((needs - has)[short])])
    name = classes[worst] if classes else str(worst)
    raise InputError(
        f"class '{name}' has {has[worst]} examples but {needs[worst]} are needed"
        + (
            f" ({for_training[worst]} for training, {for_validation[worst]} for validation)"
            if for_validation.any()
            else ""
        )
        + ": ask for fewer examples"
    )

"""The examples to audit, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from byheart.auditing.result import Audit
from byheart.data import load_dataset
from byheart.data.dataset import Dataset, split_indices
from byheart.data.sources import example_files
from byheart.networks.foreign import Factory

UNITS = 256
STAND_IN = f"a multilayer perceptron with one layer of {UNITS} units"
"""The network where a user names none."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A data set with columns that say where its examples come from.

    Attributes:
        dataset: the examples.
        origin: ``row`` in the source, if they are a part of it; ``file``, if each is one.
    """

    dataset: Dataset
    origin: Mapping[str, Any]

    def named_in(self, audit: Audit) -> Audit:
        """Return an audit of these examples whose table says where they come from."""
        table = audit.table.copy()
        for at, (name, values) in enumerate(self.origin.items()):
            table.insert(at, name, values)
        return replace(audit, table=table)


def load_examples(source: str, *, size: int | None = None, seed: int = 0) -> Examples:
    """Load a data set, or the part of it that ``load_dataset`` would load.

    Args:
        source: see :func:`byheart.load_dataset`.
        size: number of examples of a class-balanced random subset; all if None.
        seed: draws the subset.

    Raises:
        InputError: see :func:`byheart.load_dataset`.
    """
    whole, files = load_dataset(source), example_files(source)
    if size is None:
        return Examples(whole, {} if files is None else {"file": files})
    rows, _ = split_indices(whole.y, whole.n_classes, size, 0, seed, whole.classes)
    at = rows.numpy().astype(np.int64)
    origin: dict[str, Any] = {"row": at}
    if files is not None:
        origin["file"] = [files[i] for i in at]
    return Examples(whole.subset(rows), origin)


def stand_in(dataset: Dataset) -> Factory:
    """Return a factory of multilayer perceptrons for a data set."""
    inputs, classes = int(np.prod(dataset.shape)), dataset.n_classes

    def perceptron() -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, UNITS), nn.ReLU(), nn.Linear(UNITS, classes)
        )

    return perceptron

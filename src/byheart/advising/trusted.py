"""The examples that an audit did not flag, from the table that it wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from byheart.data.dataset import Dataset
from byheart.errors import InputError

NEEDED = ("label", "flagged")


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
    if not set(NEEDED) <= set(table.columns) or table["flagged"].dtype != bool:
        raise InputError(
            f"trusted: {path} has no columns 'label' and 'flagged' (True or False): give table.csv "
            "of `byheart audit`"
        )
    same = "give the same data, --examples and --seed as to the audit"
    if len(table) != len(dataset):
        raise InputError(
            f"trusted: {path} has {len(table)} rows, and there are {len(dataset)} examples: {same}"
        )
    other = np.flatnonzero(table["label"].to_numpy() != dataset.y.numpy())
    if len(other):
        i = int(other[0])
        raise InputError(
            f"trusted: row {i} of {path} has label {table['label'][i]}, and example {i} has "
            f"{int(dataset.y[i])}: {same}"
        )
    trusted = ~table["flagged"].to_numpy()
    if not trusted.any():
        raise InputError(f"trusted: every row of {path} is flagged: there is nothing to trust")
    found: list[bool] = trusted.tolist()
    return found

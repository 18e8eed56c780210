"""Data sets from tables: one column has the label, the others are the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from byheart.data.columns import MOST_NAMED, named, to_inputs
from byheart.data.dataset import Dataset
from byheart.data.labels import encode_labels
from byheart.data.ngrams import to_ngrams
from byheart.data.preparation import Kind, Preparation
from byheart.errors import InputError, choose
from byheart.texts import visible


def from_frame(
    name: str,
    frame: pd.DataFrame,
    label: str | None,
    *,
    text: str | None = None,
    classes: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Return a data set of the rows of a table, or of the texts in one column.

    Args:
        name: of the data set.
        frame: the table; its index names the rows.
        label: the column with the labels.
        text: the column with the texts, which are the inputs then; other columns are kept in the
            rows only.
        classes: class names, if the labels are their numbers.
        notes: remarks on how the table was read.

    Raises:
        InputError: no such column, or labels or texts that cannot be used.
    """
    label = _column(name, "label", label, frame)
    if len(frame) == 0:
        raise InputError(f"data set '{name}' is empty: give one row per example")
    values = frame[label]
    missing = values.isna()
    if missing.any():
        raise InputError(
            f"data set '{name}': {int(missing.sum()):,} of {len(values):,} labels in column "
            f"'{label}' are missing (empty, or a word such as NA, None or null), the first in row "
            f"{values.index[missing][0]}: remove these rows, or fill them in"
        )
    given = list(values) if isinstance(values.dtype, pd.CategoricalDtype) else values.to_numpy()
    try:
        labels, names = encode_labels(name, given, classes)
    except InputError as error:
        raise InputError(f"{error} (the labels are in column '{label}')") from None
    rows = frame.drop(columns=label)
    if text is not None:
        text = _column(name, "text", text, rows)
    if text is None:
        x, features, how = to_inputs(name, rows)
    else:
        x, features, how = to_ngrams(name, text, rows[text])
    said = [*notes, f"Labels are in column '{label}': {_classes(names)}", *how]
    kind: Kind = "table" if text is None else "text"
    prepared = Preparation(kind, rows, text, features, tuple(map(visible, said)), label=label)
    return Dataset.from_inputs(name, torch.from_numpy(x), labels, names, prepared)


def _classes(names: Sequence[str]) -> str:
    """Return the number of each class."""
    shown = ", ".join(f"{k} = {name}" for k, name in enumerate(names[:MOST_NAMED]))
    return shown + (f", and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else "")


def _column(name: str, what: str, column: str | None, frame: pd.DataFrame) -> str:
    """Return the name of a column that exists."""
    columns = [str(c) for c in frame.columns]
    if column is None:
        raise InputError(
            f"data set '{name}' is a table: name the column with the {what}s ({what}=..., or "
            f"--{what} on the command line); it has {named(columns)}"
        )
    try:
        return choose(f"{what} column", column, columns)
    except InputError as error:
        raise InputError(f"data set '{name}': {error}") from None

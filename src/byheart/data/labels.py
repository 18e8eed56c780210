"""Labels of any kind, numbered from 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byheart.errors import InputError, choose
from byheart.texts import visible

FEW = 10
"""With fewer examples than this, each may have a class of its own."""

Values = npt.NDArray[Any]


def encode_labels(
    name: str, y: Tensor | npt.ArrayLike, classes: Sequence[str] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels as int64 ``[N]`` from 0, and the name of each class.

    Without ``classes``, every value that occurs becomes a class; values are sorted. So no class is
    empty. With ``classes``, numbers are indices of these names, and texts are the names themselves.

    Args:
        name: the data set, for errors.
        y: labels ``[N]`` or ``[N, 1]``: numbers, names, or True and False.
        classes: class names in the order of their numbers.

    Raises:
        InputError: labels that are missing, fractions, more than one per example, out of range, or
            too many to be classes.
    """
    values = _as_values(name, y)
    if classes is not None:
        return _indices(name, values, [visible(str(c)) for c in classes])
    if len(values) == 0:
        return torch.zeros(0, dtype=torch.int64), ()
    found, numbers = np.unique(values, return_inverse=True)
    if found.dtype.kind == "U" and all(text.isdecimal() for text in found):
        order = np.argsort(found.astype(np.int64), kind="stable")
        found, numbers = found[order], np.argsort(order)[numbers]
    if len(found) > len(values) / 2 and len(values) > FEW:
        raise InputError(
            f"data set '{name}': labels have {len(found):,} different values in "
            f"{len(values):,} examples: give the class of each example"
        )
    names = tuple(visible(str(value)) for value in found.tolist())
    require_different(name, names)
    return torch.from_numpy(numbers.astype(np.int64)), names


def require_different(name: str, classes: Sequence[str]) -> None:
    """Refuse two classes of one name.

    Raises:
        InputError: there are two.
    """
    if len(set(classes)) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise InputError(f"data set '{name}': two classes are called '{twice}'; rename one")


def _as_values(name: str, y: Tensor | npt.ArrayLike) -> Values:
    """Return one whole number, name, or truth value per example."""
    labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else _as_array(name, y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = "; of one-hot labels take y.argmax(1)" if labels.ndim == 2 else ""
        raise InputError(
            f"data set '{name}': labels have shape {list(labels.shape)}; "
            f"give one label per example{hint}"
        )
    if labels.dtype.kind not in "biufOUS":
        raise InputError(
            f"data set '{name}': labels are of type {labels.dtype}; give whole numbers or names"
        )
    if labels.dtype.kind in "biu":
        return labels
    import pandas as pd

    missing = np.flatnonzero(pd.isna(labels) | _is_empty(labels))
    if len(missing):
        raise InputError(
            f"data set '{name}': {len(missing):,} of {len(labels):,} labels are missing, the first "
            f"of example {missing[0]}: remove these examples, or label them"
        )
    if labels.dtype.kind == "f":
        return _whole(name, labels)
    if labels.dtype.kind == "O":
        return _of_objects(name, labels)
    if labels.dtype.kind == "S":
        return np.array([label.decode("utf-8", "backslashreplace") for label in labels.tolist()])
    return labels


def _is_empty(labels: Values) -> npt.NDArray[np.bool_]:
    """Return which labels [N] are texts without a character."""
    if labels.dtype.kind in "biuf":
        return np.zeros(len(labels), bool)
    return np.array([label in ("", b"") for label in labels.tolist()])


def _as_array(name: str, y: npt.ArrayLike) -> Values:
    try:
        array = np.asarray(y)
    except ValueError:
        raise InputError(
            f"data set '{name}': labels are lists of different lengths; give one per example"
        ) from None
    # A list with a number or a gap among its names would become text, "nan" among it.
    mixed = array.dtype.kind == "U" and isinstance(y, list | tuple)
    return np.array(y, dtype=object) if mixed else array


def _whole(name: str, labels: Values) -> Values:
    """Return whole numbers of any float type as integers."""
    broken = np.flatnonzero((labels != np.trunc(labels)) | ~np.isfinite(labels))
    if len(broken):
        raise InputError(
            f"data set '{name}': labels must be whole numbers or names, and example {broken[0]} "
            f"has {labels[broken[0]]:g}: give classes; if these numbers are classes, give them as "
            "text"
        )
    return labels.astype(np.int64)


def _of_objects(name: str, labels: Values) -> Values:
    """Return numbers if all objects are numbers, else texts."""
    values = labels.tolist()
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.array(values, dtype=bool)
    if all(isinstance(value, int | float | np.number) for value in values):
        return _whole(name, np.array(values, dtype=np.float64))
    odd = next((value for value in values if isinstance(value, list | dict | tuple | set)), None)
    if odd is not None:
        raise InputError(
            f"data set '{name}': a label is a {type(odd).__name__}; give one name per example"
        )
    return np.array([str(value) for value in values])


def _indices(name: str, values: Values, classes: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels as indices of given classes."""
    require_different(name, classes)
    if values.dtype.kind == "U":
        known = {text: k for k, text in enumerate(classes)}
        strange = next((text for text in np.unique(values).tolist() if text not in known), None)
        if strange is not None:
            try:
                choose("label", strange, classes)
            except InputError as error:
                raise InputError(f"data set '{name}': {error}") from None
        numbers = np.array([known[text] for text in values.tolist()], dtype=np.int64)
        return torch.from_numpy(numbers), tuple(classes)
    numbers = values.astype(np.int64)
    require_in_range(name, numbers, classes)
    return torch.from_numpy(numbers), tuple(classes)


def require_in_range(name: str, labels: Values, classes: Sequence[str]) -> None:
    """Refuse a label that is no index of a class.

    Raises:
        InputError: there is one.
    """
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
    if low < 0 or high >= len(classes):
        raise InputError(
            f"data set '{name}': label {low if low < 0 else high} is out of range; "
            f"labels must be in 0..{max(len(classes) - 1, 0)}"
        )

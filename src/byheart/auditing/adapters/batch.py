"""Where a batch keeps its ids and labels, and a network's output its logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from byheart.auditing.adapters.indexed import ID
from byheart.errors import InputError

Where = str | int | Callable[[Any], Any] | None
"""A key or position in the batch, or a function of the batch; None for the usual place."""

LABELS = ("label", "labels", "target", "targets", "y")
"""Under which of these keys a batch that is a dict has its labels."""


def ids_of(batch: Any, where: Where = None) -> Any:
    """Return the ids of a batch: where said, else under "id", or last of three or more.

    Raises:
        InputError: they are not there.
    """
    if where is None and isinstance(batch, Mapping):
        where = ID if ID in batch else None
    elif where is None and _is_sequence(batch) and len(batch) >= 3:
        where = -1
    if where is None:
        raise InputError(
            f"the batch ({_shape(batch)}) has no ids: wrap the training set in "
            "byheart.IndexedDataset, or say where they are: TrackerCallback(..., ids=...)"
        )
    return _taken("ids", batch, where)


def labels_of(batch: Any, where: Where = None) -> Any:
    """Return the labels of a batch: where said, else under a usual key, or last before the ids.

    Raises:
        InputError: they are not there.
    """
    if where is None and isinstance(batch, Mapping):
        where = next((key for key in LABELS if key in batch), None)
    elif where is None and _is_sequence(batch) and len(batch) >= 3:
        where = -2
    if where is None:
        raise InputError(
            f"the batch ({_shape(batch)}) has no labels where they are looked for: say where they "
            "are: TrackerCallback(..., labels=...)"
        )
    return _taken("labels", batch, where)


def logits_of(output: Any) -> Any:
    """Return the logits in what a network or a training step gave back; None if there are none.

    They are the output itself, if it is a tensor of one number or more per example, or what it has
    under the name ``logits``.
    """
    if isinstance(output, Tensor):
        return output if output.ndim else None
    if isinstance(output, Mapping):
        return output.get("logits")
    return getattr(output, "logits", None)


def _taken(what: str, batch: Any, where: str | int | Callable[[Any], Any]) -> Any:
    if callable(where):
        return where(batch)
    try:
        return batch[where]
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"the batch ({_shape(batch)}) has no {where!r}, where {what} are said to be"
        ) from error


def _is_sequence(batch: Any) -> bool:
    return isinstance(batch, Sequence) and not isinstance(batch, str)


def _shape(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"keys {', '.join(map(str, batch))}"
    name = type(batch).__name__
    return f"a {name} of {len(batch)}" if _is_sequence(batch) else f"a {name}"

"""What inputs and labels must be like, and the errors of those that are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byheart.errors import InputError
from byheart.texts import visible


def as_inputs(name: str, x: Tensor | npt.ArrayLike, *, noise: Tensor | None = None) -> Tensor:
    """Return inputs as float32, checked.

    Args:
        name: the data set, for errors.
        x: inputs ``[N, *shape]``.
        noise: whose input is Gaussian noise and may leave [0, 1], bool ``[N]``. Clipping it would
            change its mean and variance, which are to be those of the data.

    Raises:
        InputError: not numbers, no shape, NaN or infinite, or outside [0, 1].
    """
    inputs = _as_tensor(name, "inputs", x)
    if inputs.is_complex():
        raise InputError(f"data set '{name}': inputs are complex; give real numbers in [0, 1]")
    inputs = inputs.to(torch.float32)
    if inputs.ndim > 0 and len(inputs) == 0:
        return inputs
    if inputs.ndim < 2 or 0 in inputs.shape[1:]:
        raise InputError(
            f"data set '{name}': inputs have shape {list(inputs.shape)}; "
            "give one row of at least one number per example"
        )
    low, high = torch.aminmax(inputs)
    if not torch.isfinite(low + high):
        bad = int((~torch.isfinite(inputs)).flatten(1).any(1).nonzero()[0])
        raise InputError(
            f"data set '{name}': the input of example {bad} holds NaN or infinity; "
            "remove or repair it"
        )
    if noise is not None and bool(noise.any()):
        clean = inputs[~noise]
        if len(clean) == 0:
            return inputs
        low, high = torch.aminmax(clean)
    if low < 0 or high > 1:
        raise InputError(
            f"data set '{name}': inputs range from {float(low):g} to {float(high):g}; "
            "scale them to [0, 1]"
        )
    return inputs


def as_labels(name: str, y: Tensor | npt.ArrayLike) -> Tensor:
    """Return labels as int64 ``[N]``, checked.

    Raises:
        InputError: not one whole number per example.
    """
    labels = _as_tensor(name, "labels", y)
    if labels.ndim != 1:
        raise InputError(
            f"data set '{name}': labels have shape {list(labels.shape)}; "
            "give one class number per example"
        )
    whole = labels.to(torch.int64) if not labels.is_complex() else None
    # A float that is no whole number, NaN among them, differs from its own integer part.
    if whole is None or bool((whole.to(labels.dtype) != labels).any()):
        raise InputError(f"data set '{name}': labels must be whole numbers, the class of each")
    return whole


def class_names(name: str, labels: Tensor, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the class names, given or made up, after checking that every label has one.

    Characters that nobody would see, or that steer a terminal, are written out.

    Raises:
        InputError: a label below zero or without a class, or two classes of one name.
    """
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
    if classes is None and high >= len(labels) > 0:
        raise InputError(
            f"data set '{name}': labels go up to {high} with only {len(labels)} examples; "
            "number the classes from 0"
        )
    names = tuple(visible(str(c)) for c in (range(high + 1) if classes is None else classes))
    if low < 0 or high >= len(names):
        raise InputError(
            f"data set '{name}': label {low if low < 0 else high} is out of range; "
            f"labels must be in 0..{max(len(names) - 1, 0)}"
        )
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(f"data set '{name}': two classes are called '{twice}'; rename one")
    return names


def require_equal_lengths(name: str, lengths: Mapping[str, int]) -> None:
    """Refuse arrays that do not all hold one entry per example.

    Args:
        name: the data set, for the error.
        lengths: number of entries by what they are.

    Raises:
        InputError: two lengths differ.
    """
    if len(set(lengths.values())) > 1:
        has = ", ".join(f"{length} {what}" for what, length in lengths.items())
        raise InputError(f"data set '{name}' has {has}: give one of each per example")


def _as_tensor(name: str, what: str, values: Tensor | npt.ArrayLike) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(
            f"data set '{name}': {what} are lists of different lengths; give all the same shape"
        ) from None
    if array.dtype.kind not in "buif":
        raise InputError(f"data set '{name}': {what} are of type {array.dtype}, not numbers")
    return torch.from_numpy(np.require(array, _known_to_torch(array.dtype), ["C", "W"]))


def _known_to_torch(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "u" and dtype.itemsize > 1:
        return np.dtype(np.int64)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")

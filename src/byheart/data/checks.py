"""What inputs must be like, and the errors of those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byheart.data.preparation import Preparation
from byheart.data.scaling import scaled
from byheart.errors import InputError


def as_inputs(
    name: str, x: Tensor | npt.ArrayLike, like: npt.ArrayLike | None = None
) -> tuple[Tensor, Preparation | None]:
    """Return inputs as float32 at a scale on which networks train well; see :func:`scaled`.

    Args:
        name: the data set, for errors.
        x: inputs ``[N, *shape]``.
        like: the inputs that decide how to scale, if they are others.

    Raises:
        InputError: not numbers, no shape, NaN or infinite.
    """
    inputs = _as_tensor(name, "inputs", x)
    if inputs.is_complex():
        raise InputError(f"data set '{name}': inputs are complex; give real numbers")
    require_inputs(name, inputs)
    if len(inputs) == 0:
        return inputs.to(torch.float32), None
    model = None if like is None else np.asarray(like)
    given = inputs.cpu().numpy()
    numbers, preparation = scaled(given, model)
    if numbers is given:
        return inputs.to(torch.float32), None
    return torch.from_numpy(numbers).to(inputs.device, torch.float32), preparation


def require_inputs(name: str, inputs: Tensor) -> None:
    """Refuse inputs without numbers, or with NaN or infinity.

    Raises:
        InputError: see there.
    """
    if inputs.ndim > 0 and len(inputs) == 0:
        return
    if inputs.ndim < 2 or 0 in inputs.shape[1:]:
        raise InputError(
            f"data set '{name}': inputs have shape {list(inputs.shape)}; "
            "give one row of at least one number per example"
        )
    if not inputs.is_floating_point():
        return
    low, high = torch.aminmax(inputs)
    if not torch.isfinite(low + high):
        bad = int((~torch.isfinite(inputs)).flatten(1).any(1).nonzero()[0])
        raise InputError(
            f"data set '{name}': the input of example {bad} holds NaN or infinity; "
            "remove or repair it"
        )


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

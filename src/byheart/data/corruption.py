"""randX and randY: inputs replaced by Gaussian noise, labels by uniform random ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.seeds import generator


@dataclass(frozen=True, eq=False)
class Corruption:
    """Examples that a corruption replaces, with their new inputs and labels.

    Attributes:
        input_mask: bool ``[N]``, True where the input is replaced.
        inputs: the noise, float32 ``[k, *shape]``, for the masked rows in row order.
        label_mask: bool ``[N]``, True where a label was drawn; it may equal the old one.
        y: all labels after corruption, int64 ``[N]``.
    """

    input_mask: Tensor
    inputs: Tensor
    label_mask: Tensor
    y: Tensor


def corrupt(
    dataset: Dataset, *, inputs: float = 0.0, labels: float = 0.0, seed: int = 0
) -> Dataset:
    """Return a copy of a data set with a fraction of its inputs and labels replaced by noise.

    randX: an input becomes i.i.d. Gaussian noise with the scalar mean and variance of all inputs
    of the data set, unclipped. randY: a label is drawn uniformly from all classes. Which examples
    are replaced is drawn independently for inputs and labels.

    Args:
        dataset: the data set; it is not modified.
        inputs: fraction of inputs to replace; exactly ``round(inputs * N)`` are.
        labels: fraction of labels to replace; exactly ``round(labels * N)`` are.
        seed: with the same seed, the examples replaced at a lower level are among those replaced
            at a higher one, and by the same noise.

    Returns:
        A data set whose ``noisy_inputs`` and ``noisy_labels`` mark the replaced examples;
        ``clean_y`` still holds the original labels.

    Raises:
        InputError: a level outside 0..1.

    Source: Arpit et al. (2017), section 2.
    """
    mean, sd = moments(dataset.x)
    drawn = draw_corruption(
        mean,
        sd,
        dataset.shape,
        dataset.y,
        dataset.n_classes,
        inputs=inputs,
        labels=labels,
        seed=seed,
    )
    x = dataset.x
    if len(drawn.inputs):
        x = x.clone()
        x[drawn.input_mask] = drawn.inputs
    return replace(
        dataset,
        x=x,
        y=drawn.y,
        noisy_inputs=dataset.noisy_inputs | drawn.input_mask,
        noisy_labels=dataset.noisy_labels | drawn.label_mask,
    )


def moments(x: Tensor) -> tuple[float, float]:
    """Return the scalar mean and standard deviation over all numbers of ``x``."""
    if x.numel() == 0:
        return 0.0, 0.0
    # In float64: a float32 sum of a data set loses digits, and depends on the number of threads.
    values = x.detach().cpu().numpy()
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))


def draw_corruption(
    x_mean: float,
    x_sd: float,
    shape: Sequence[int],
    y: Tensor,
    n_classes: int,
    *,
    inputs: float,
    labels: float,
    seed: int,
) -> Corruption:
    """Draw what :func:`corrupt` replaces, without touching or copying any input.

    Each example has one random number for its input and one for its label; the examples with the
    lowest are replaced. Noise is assigned in the order of those numbers, so an example gets the
    same noise at every level at which it is replaced.

    Args:
        x_mean: mean of the noise.
        x_sd: standard deviation of the noise.
        shape: shape of one input.
        y: labels ``[N]``.
        n_classes: number of classes; labels are drawn from 0..n_classes-1.
        inputs: fraction of inputs to replace.
        labels: fraction of labels to replace.
        seed: see :func:`corrupt`.

    Raises:
        InputError: a level outside 0..1.
    """
    n = len(y)
    input_count, label_count = _count("inputs", inputs, n), _count("labels", labels, n)

    rng = generator("noise inputs", seed)
    replaced_rows = np.argsort(rng.random(n), kind="stable")[:input_count]
    noise = rng.standard_normal((input_count, math.prod(shape)), dtype=np.float32)
    noise *= np.float32(x_sd)
    noise += np.float32(x_mean)
    in_row_order = noise[np.argsort(replaced_rows)].reshape(input_count, *shape)

    rng = generator("noise labels", seed)
    relabelled = np.argsort(rng.random(n), kind="stable")[:label_count]
    new_y = y.detach().cpu().numpy().copy()
    new_y[relabelled] = rng.integers(n_classes, size=n)[:label_count]

    return Corruption(
        input_mask=_mask(n, replaced_rows),
        inputs=torch.from_numpy(in_row_order),
        label_mask=_mask(n, relabelled),
        y=torch.from_numpy(new_y),
    )


def _count(what: str, level: float, n: int) -> int:
    if not 0 <= level <= 1:  # also rejects NaN
        raise InputError(f"noise level {level:g} of {what} is outside 0..1")
    return round(level * n)


def _mask(n: int, at: npt.NDArray[np.int64]) -> Tensor:
    mask = np.zeros(n, dtype=np.bool_)
    mask[at] = True
    return torch.from_numpy(mask)

"""Batches for a training that is measured step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from byheart.errors import InputError
from byheart.seeds import generator


def shuffled_batches(examples: int, size: int, updates: int, *, seed: int = 0) -> list[Tensor]:
    """Return the batches of so many updates, epoch after epoch in a new order.

    Args:
        examples: N, in the training set.
        size: examples per batch; the last of an epoch may be smaller.
        updates: T, batches to return.
        seed: of the orders.

    Returns:
        T index tensors.

    Raises:
        InputError: a count below 1.
    """
    for name, count in (("examples", examples), ("size", size), ("updates", updates)):
        if count < 1:
            raise InputError(f"{name} must be 1 or more, got {count}")
    rng = generator("batches", seed, examples)
    batches: list[Tensor] = []
    while len(batches) < updates:
        batches += torch.split(torch.from_numpy(rng.permutation(examples)), size)
    return batches[:updates]

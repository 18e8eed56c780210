"""Measuring a user's module without leaving a trace on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode, and each back into the mode it was in.

    Dropout and batch-norm noise would otherwise be counted as critical samples. Submodules may
    stand in different modes (a frozen backbone), so ``model.train()`` alone cannot restore them.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""Batches held back until there are enough: to reduce many rows costs little more than few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.observed import Observed, observe

LOGITS = 2**18
"""Logits that are held back, at least: a megabyte of them."""


class Buffer:
    """The latest batches.

    Args:
        take: is given ids and what was observed of them, whenever the buffer is full.
    """

    def __init__(self, take: Callable[[NDArray[np.int64], Observed], None]) -> None:
        self._take = take
        self._batches: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
        self._held = 0

    def add(
        self, ids: NDArray[np.int64], logits: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> None:
        """Hold a batch, which nobody else may change."""
        self._batches.append((ids, logits, labels))
        self._held += logits.size
        if self._held >= LOGITS:
            self.flush()

    def flush(self) -> None:
        """Hand over what is held."""
        if not self._batches:
            return
        ids, logits, labels = (
            np.concatenate(column) for column in zip(*self._batches, strict=True)
        )
        self.clear()
        rows = max(1, LOGITS // logits.shape[1])
        for at in range(0, len(ids), rows):
            part = slice(at, at + rows)
            self._take(ids[part], observe(logits[part], labels[part]))

    def clear(self) -> None:
        """Forget what is held."""
        self._batches, self._held = [], 0

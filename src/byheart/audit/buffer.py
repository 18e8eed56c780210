"""Batches held back until there are enough: to reduce many rows costs little more than few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from byheart.audit.observed import Observed, observe

LOGITS = 2**18
"""Logits that are held back: a megabyte of them."""


class Buffer:
    """Copies of the latest batches.

    Args:
        classes: outputs of the network.
        take: is given ids and what was observed of them, whenever the buffer is full.
    """

    def __init__(self, classes: int, take: Callable[[NDArray[np.int64], Observed], None]) -> None:
        rows = max(1, LOGITS // classes)
        self._take = take
        self._ids = np.empty(rows, np.int64)
        self._logits = np.empty((rows, classes), np.float32)
        self._labels = np.empty(rows, np.int64)
        self._held = 0

    def add(
        self, ids: NDArray[np.int64], logits: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> None:
        """Copy a batch, in parts if it is larger than the buffer."""
        done, rows = 0, len(self._ids)
        while done < len(ids):
            if self._held == rows:
                self.flush()
            count = min(rows - self._held, len(ids) - done)
            here, there = slice(self._held, self._held + count), slice(done, done + count)
            self._ids[here] = ids[there]
            self._logits[here] = logits[there]
            self._labels[here] = labels[there]
            self._held += count
            done += count

    def flush(self) -> None:
        """Hand over what is held."""
        if self._held:
            held, self._held = slice(self._held), 0
            self._take(self._ids[held], observe(self._logits[held], self._labels[held]))

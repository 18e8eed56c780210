"""What a training left of every example, epoch by epoch: all that the audit is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.auditing.observed import halved, observe
from byheart.auditing.rivals import Rivals, rivals_of
from byheart.errors import InputError

Half = NDArray[np.float16]


class Rows(Protocol):
    """Where a history reads its epochs from."""

    def __len__(self) -> int:
        """Return the number of epochs."""
        ...

    def __getitem__(self, epoch: int) -> tuple[Half, Half]:
        """Return margin and loss [N] of an epoch; NaN where an example was not seen."""
        ...


class Epoch(NamedTuple):
    """One epoch of all examples; NaN where one was not seen.

    Attributes:
        margin: float32 [N] logit of the label minus the largest other.
        loss: float32 [N] cross-entropy in nats.
        seen: bool [N].
    """

    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    seen: NDArray[np.bool_]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Classified as labelled, bool [N]; False where the example was not seen."""
        return np.greater(self.margin, 0)

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of the label, float32 [N]: exp(-loss)."""
        return np.exp(-self.loss)


@dataclass(frozen=True, eq=False)
class History:
    """One training, as its examples went through it. Several seeds are a list of histories.

    Numbers are kept as float16: a margin and a loss per example and epoch, to three digits. Read
    epochs one by one where there may be many examples; ``margin``, ``loss``, ``probability`` and
    ``seen`` hold all of them at once.

    Attributes:
        labels: int64 [N] labels as trained on; -1 for an example that was never seen.
        n_classes: outputs of the network.
        rows: where epochs are read from.
        rivals: which other label each example may have, over all epochs.
    """

    labels: NDArray[np.int64]
    n_classes: int
    rows: Rows
    rivals: Rivals

    @classmethod
    def from_logits(cls, logits: Sequence[ArrayLike], labels: ArrayLike) -> History:
        """Return the history of a training whose logits are at hand.

        Args:
            logits: for each of E epochs [N, classes].
            labels: [N] from 0 to classes - 1.

        Raises:
            InputError: no epoch, shapes that do not fit, labels out of range, or logits that are
                not finite.
        """
        y = np.asarray(labels, np.int64)
        epochs = []
        for epoch, one in enumerate(logits):
            z = np.asarray(one, np.float32)
            if z.ndim != 2 or len(z) != len(y) or z.shape[1] < 2 or not np.isfinite(z).all():
                raise InputError(
                    f"logits of epoch {epoch} must be finite numbers [{len(y)}, classes], with two "
                    f"classes or more, got {list(z.shape)}"
                )
            if len(y) == 0 or y.min() < 0 or y.max() >= z.shape[1]:
                raise InputError(f"labels must be 0 to {z.shape[1] - 1}, of one example or more")
            epochs.append(observe(z, y))
        if not epochs:
            raise InputError("a history needs the logits of one epoch or more")
        rows = [(halved(epoch.margin), halved(epoch.loss)) for epoch in epochs]
        return cls(y, z.shape[1], rows, rivals_of(epochs, len(y), z.shape[1]))

    @classmethod
    def open(cls, path: str | Path) -> History:
        """Return the history that a :class:`byheart.Tracker` wrote.

        Raises:
            StoreError: there is no such file, or it is damaged, not a history, or from a newer
                version.
        """
        from byheart.auditing.file import HistoryFile

        return HistoryFile(Path(path)).history()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def epochs(self) -> int:
        """Number of epochs E."""
        return len(self.rows)

    def epoch(self, number: int) -> Epoch:
        """Return an epoch, counted from 0.

        Raises:
            InputError: there is no such epoch.
            StoreError: its file was damaged, moved or written anew.
        """
        if not 0 <= number < self.epochs:
            raise InputError(f"epoch must be 0 to {self.epochs - 1}, got {number}")
        margin, loss = self.rows[number]
        return Epoch(margin.astype(np.float32), loss.astype(np.float32), ~np.isnan(margin))

    @cached_property
    def margin(self) -> Half:
        """Logit of the label minus the largest other, float16 [E, N]; NaN where not seen."""
        return np.stack([self.rows[e][0] for e in range(self.epochs)])

    @cached_property
    def loss(self) -> Half:
        """Cross-entropy in nats, float16 [E, N]; NaN where not seen."""
        return np.stack([self.rows[e][1] for e in range(self.epochs)])

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of the label, float32 [E, N]; NaN where not seen."""
        return np.exp(-self.loss.astype(np.float32))

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which examples an epoch saw, bool [E, N]."""
        return ~np.isnan(self.margin)

    @cached_property
    def gaps(self) -> NDArray[np.int64]:
        """How many examples each epoch did not see, int64 [E]."""
        return np.array([np.isnan(self.rows[e][0]).sum() for e in range(self.epochs)], np.int64)

"""The history of a training: margin and loss of every example in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.auditing.epoch import halved, observe
from byheart.auditing.history_file import FileRows, Half, HistoryFile, Row
from byheart.errors import InputError

SLOTS = 4
"""Classes that are tallied for an example: memory does not grow with the number of classes."""
CHUNK = 2**16
"""Examples whose tallies are brought up to date at once."""


@dataclass(frozen=True)
class Alternatives:
    """For each example, the likeliest classes besides its label, tallied over epochs.

    Attributes:
        classes: [N, 4], integers as narrow as will do; -1 where a slot is empty.
        weights: float32 [N, 4] the sum over epochs of the probability of the class, whenever it
            was the likeliest besides the label.
    """

    classes: NDArray[np.signedinteger]
    weights: NDArray[np.float32]

    @classmethod
    def empty(cls, examples: int, classes: int) -> Alternatives:
        """Return tallies without any epoch."""
        shape = (examples, SLOTS)
        return cls(np.full(shape, -1, narrowest(classes)), np.zeros(shape, np.float32))

    def copy(self) -> Alternatives:
        """Return tallies that no later epoch changes."""
        return Alternatives(self.classes.copy(), self.weights.copy())

    def add(self, alternative: NDArray[np.int32], probability: NDArray[np.float32]) -> None:
        r"""Count one epoch, in place.

        Formula: a class that has a slot gains its probability p there; any other class takes over
        the lightest slot, with its weight: w <- min_s w_s + p. With S slots, a weight is too large
        by at most 1/S of the sum of all, and never too small; up to S classes it is exact.

        Args:
            alternative: [N] likeliest class besides the label.
            probability: [N] of that class; 0 where the example was not seen.

        Source: the weighted SpaceSaving of Metwally, Agrawal & El Abbadi (2005).
        """
        for start in range(0, len(alternative), CHUNK):
            part = slice(start, start + CHUNK)
            rows = np.flatnonzero(probability[part] > 0) + start
            classes, weights = self.classes[rows], self.weights[rows]
            held = classes == alternative[rows, None]
            slot = np.where(held.any(1), held.argmax(1), weights.argmin(1))
            self.classes[rows, slot] = alternative[rows]
            self.weights[rows, slot] += probability[rows]


def narrowest(classes: int) -> np.dtype[np.signedinteger]:
    """Return the narrowest integers that hold -1 and every class."""
    return np.min_scalar_type(-max(classes, 1))


class Epoch(NamedTuple):
    """One epoch of all examples [N]; NaN where one was not seen. The loss is in nats.

    A history of losses has no margins: they are NaN.
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
    """Margin and loss of every example in every epoch of one training.

    Margins and cross-entropies are float16, which keeps three digits. A training that was tracked
    by losses of its own has these alone, as float32: ``n_classes`` is 0, and margins are NaN. Read
    epochs one by one where there may be many examples; ``margin``, ``loss``, ``probability`` and
    ``seen`` hold all epochs at once.

    Attributes:
        labels: int64 [N] labels as trained on; -1 for an example that was never seen. Of losses: 0
            for all others.
        n_classes: outputs of the network; 0 for a history of losses.
        rows: where epochs are read from.
        alternatives: the likeliest classes besides the label, over all epochs.
        not_finite: int64 [E] how many predictions each epoch left out, since they were infinite or
            NaN, as mixed precision makes them now and then.
    """

    labels: NDArray[np.int64]
    n_classes: int
    rows: FileRows | list[Row]
    alternatives: Alternatives
    not_finite: NDArray[np.int64]

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
        rows: list[Row] = []
        alternatives = Alternatives.empty(0, 1)
        for number, values in enumerate(logits):
            z = np.asarray(values, np.float32)
            if z.ndim != 2 or len(z) != len(y) or z.shape[1] < 2 or not np.isfinite(z).all():
                raise InputError(
                    f"logits of epoch {number} must be finite numbers [{len(y)}, classes], with "
                    f"two classes or more, got {list(z.shape)}"
                )
            if len(y) == 0 or y.min() < 0 or y.max() >= z.shape[1]:
                raise InputError(f"labels must be 0 to {z.shape[1] - 1}, of one example or more")
            if not rows:
                alternatives = Alternatives.empty(len(y), z.shape[1])
            epoch = observe(z, y)
            rows.append(np.stack([halved(epoch.margin), halved(epoch.loss)]))
            alternatives.add(epoch.alternative, epoch.probability)
        if not rows:
            raise InputError("a history needs the logits of one epoch or more")
        return cls(y, z.shape[1], rows, alternatives, np.zeros(len(rows), np.int64))

    @classmethod
    def open(cls, path: str | Path) -> History:
        """Return the history that a :class:`byheart.Tracker` wrote.

        Raises:
            StoreError: there is no such file, or it is damaged, not a history, or from a newer
                version.
        """
        return cls.read(HistoryFile(Path(path)))

    @classmethod
    def read(cls, file: HistoryFile) -> History:
        """Return the history in a file; see :meth:`open`."""
        checksums, arrays = file.content()
        alternatives = Alternatives(arrays["rivals"], arrays["weights"])
        labels, epochs = arrays["labels"].astype(np.int64), FileRows(file, checksums)
        # Files of earlier versions do not have it: they refused what was not finite.
        not_finite = arrays.get("not_finite", np.zeros(len(checksums), np.int64))
        return cls(labels, int(arrays["classes"]), epochs, alternatives, not_finite)

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
        row = self.rows[number].astype(np.float32)
        margin = np.full(len(self), np.nan, np.float32) if self.of_losses else row[0]
        return Epoch(margin, row[-1], ~np.isnan(row[-1]))

    @property
    def of_losses(self) -> bool:
        """Whether only losses were recorded, and no margins."""
        return self.n_classes == 0

    @cached_property
    def margin(self) -> Half:
        """Logit of the label minus the largest other, float16 [E, N]; NaN where not known."""
        return np.stack([self.epoch(e).margin.astype(np.float16) for e in range(self.epochs)])

    @cached_property
    def loss(self) -> Row:
        """Cross-entropy in nats, float16 [E, N]; or the loss of the training, float32."""
        return np.stack([self.rows[e][-1] for e in range(self.epochs)])

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of the label, float32 [E, N]: exp(-loss); NaN where not seen."""
        return np.exp(-self.loss.astype(np.float32))

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which examples an epoch saw, bool [E, N]."""
        return ~np.isnan(self.loss)

    @cached_property
    def gaps(self) -> NDArray[np.int64]:
        """How many examples each epoch did not see, int64 [E]."""
        return np.array([np.isnan(self.rows[e][-1]).sum() for e in range(self.epochs)], np.int64)

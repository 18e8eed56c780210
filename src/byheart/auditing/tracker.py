"""The tracker: it sees ids, logits and labels of a training, in any loop, and keeps a history."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from byheart.auditing.arguments import arrays
from byheart.auditing.buffer import Buffer
from byheart.auditing.epoch import UNKNOWN, RunningEpoch, rank
from byheart.auditing.file import FileRows, HistoryFile
from byheart.auditing.history import History
from byheart.auditing.observed import halved
from byheart.auditing.rivals import Rivals, narrowest
from byheart.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

STATE = 1
"""Version of what :meth:`Tracker.state_dict` returns."""
_FIRST = 3 if sys.byteorder == "little" else 0
"""Which byte of a float32 has its sign and most of its exponent."""


class Tracker:
    """Follows every example through a training, and keeps a history of it on disk.

    Call :meth:`update` with every batch, in any order, and :meth:`end_epoch` after every epoch. An
    example that is seen several times in an epoch counts with the mean of its views; one that is
    not seen leaves a gap, which scores leave out and count. In a distributed training every process
    has a tracker, and ``end_epoch`` (which all must call) puts together what they saw.

    Memory is about 60 bytes per example, and twice that for a moment at the end of an epoch; the
    file takes 4 bytes per example and epoch, and 21 to 36 per example.

    Args:
        n_examples: N; ids are 0 to N - 1.
        path: where the history is kept; if not given, in a temporary file that ends with the
            tracker and the last of its histories.

    Raises:
        InputError: ``n_examples`` is not a whole number of 1 or more.
        StoreError: there is a file at ``path`` that is no history, or is damaged.

    Example:
        >>> tracker = Tracker(2)
        >>> tracker.update([0, 1], [[2.0, 0.0], [2.0, 0.0]], [0, 1])
        >>> tracker.end_epoch()
        >>> tracker.scores()["aum"].tolist()
        [2.0, -2.0]
    """

    def __init__(self, n_examples: int, path: str | Path | None = None) -> None:
        if isinstance(n_examples, bool) or not isinstance(n_examples, int | np.integer):
            raise InputError(f"n_examples must be a whole number, got {n_examples!r}")
        if n_examples < 1:
            raise InputError(f"n_examples must be 1 or more, got {n_examples}")
        self.n_examples = int(n_examples)
        self._temporary = path is None
        self._file = HistoryFile.temporary() if path is None else HistoryFile(Path(path))
        self._checksums: list[str] = []
        self._foreign = rank() == 0 and bool(self._file.checksums())
        self._classes = 0
        # Twice as long as there are examples: see _is_known.
        self._all_labels = np.full(2 * self.n_examples, UNKNOWN, np.int64)
        self._labels = self._all_labels[: self.n_examples]
        self._rivals = Rivals.empty(self.n_examples, 1)
        self._running = RunningEpoch.empty(self.n_examples)
        self._buffer = Buffer(self._running.add)

    @property
    def epoch(self) -> int:
        """Number of epochs that ended."""
        return len(self._checksums)

    def update(self, ids: object, logits: object, labels: object) -> None:
        """Take in a batch. Of a batch that is refused, nothing is kept.

        Tensors may lie on any device and carry gradients; arrays and lists are taken as well.

        Args:
            ids: [B] whole numbers from 0 to N - 1, the same for an example in every epoch.
            logits: [B, classes] as the loss is computed from, before softmax.
            labels: [B] whole numbers from 0 to classes - 1, as trained on.

        Raises:
            InputError: lengths that differ, an id or label out of range, another number of classes
                than before, logits that are not finite, a label that an example did not have
                before, or a file with the epochs of a training that was not restored.
        """
        i, z, y = arrays(ids, logits, labels)
        if not len(i) == len(z) == len(y):
            raise InputError(
                f"ids, logits and labels must be of equally many examples, got {len(i)}, {len(z)} "
                f"and {len(y)}"
            )
        logit_bytes, label_bytes = z.tobytes(), y.tobytes()
        usual = _plainly_finite(logit_bytes) and z.shape[1] == self._classes
        if not (usual and self._is_known(i, label_bytes)):
            if not len(i):
                return
            self._require(i, z, y)
            self._learn_labels(i, y)
            if not self._classes:
                self._classes = z.shape[1]
                self._rivals = Rivals.empty(self.n_examples, self._classes)
        self._buffer.add(i.tobytes(), logit_bytes, label_bytes, z.shape)

    def end_epoch(self) -> None:
        """Add the epoch to the history: whole, or not at all.

        Raises:
            InputError: no example was seen since the epoch before, or processes disagree on labels.
            StoreError: the file cannot be written.
        """
        self._buffer.flush()
        self._running.combine(self._labels)
        if not self._running.count.any():
            raise InputError("no example was seen in this epoch: call update() with every batch")
        margin, loss, rival, weight = self._running.means()
        rivals = self._rivals.copy()
        rivals.add(rival, weight)
        self._checksums.append(self._written(halved(margin), halved(loss), rivals))
        self._rivals = rivals
        self._running.clear()

    def gather(self) -> None:
        """Hand what the processes of a distributed training saw of this epoch to the first of them.

        All must call it before the first saves its state, which then is the state of all. In a
        training of one process it does nothing.
        """
        self._buffer.flush()
        self._running.combine(self._labels)
        if rank():
            self._running.clear()

    def history(self) -> History:
        """Return what is known so far, of the epochs that ended.

        Raises:
            InputError: no epoch ended yet, or this is not the first process of a distributed
                training, which alone keeps the history.
        """
        if rank():
            raise InputError("the history is kept by the process of rank 0: ask that one")
        if not self._checksums:
            raise InputError("no epoch has ended yet: call end_epoch() after each")
        rows = FileRows(self._file, tuple(self._checksums))
        return History(self._known_labels(), self._classes, rows, self._rivals)

    def scores(self, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return one row per example and one column per score; see ``byheart.auditing.scores``.

        Args:
            start: first epoch that counts, from 0.
            stop: the epoch after the last that counts; all if not given.

        Raises:
            InputError: no epoch ended yet, or the window holds none.
        """
        from byheart.auditing.table import scores

        return scores(self.history(), start=start, stop=stop)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint needs: tensors and plain values, no pickled objects.

        In a distributed training it is the state of this process; see :meth:`gather`.

        The epochs themselves stay in the file at ``path``, which the checkpoint refers to; without
        a ``path`` they are part of it, at 4 bytes per example and epoch.
        """
        self._buffer.flush()
        state: dict[str, Any] = {
            "version": STATE,
            "n_examples": self.n_examples,
            "rank": rank(),
            "classes": self._classes,
            "checksums": list(self._checksums),
            "labels": torch.from_numpy(self._known_labels()),
            "rivals": torch.from_numpy(self._rivals.classes.copy()),
            "weights": torch.from_numpy(self._rivals.weights.copy()),
            "running": self._running.state(),
        }
        if self._temporary and self._checksums and not rank():
            history = self._file.history()
            state["rows"] = torch.from_numpy(np.stack([history.margin, history.loss]))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint: what came after it is forgotten, in the file as well.

        In a distributed training all processes may load the state of the first; what had been seen
        of an epoch that had not ended goes to that one alone.

        Raises:
            InputError: the state is of another number of examples, or of a newer byheart.
            StoreError: the file at ``path`` does not hold the epochs of the checkpoint.
        """
        if state.get("version") != STATE or state.get("n_examples") != self.n_examples:
            raise InputError(
                f"the state is of {state.get('n_examples')} examples (version "
                f"{state.get('version')}), this tracker is of {self.n_examples} (version {STATE})"
            )
        if rank() == 0:
            self._restore_file(state)
        self._checksums = list(state["checksums"])
        self._foreign = False
        self._take_labels(state)
        self._rivals = Rivals(state["rivals"].numpy().copy(), state["weights"].numpy().copy())
        self._running.restore(state["running"])
        if state["rank"] != rank():
            self._running.clear()
        self._buffer.clear()

    def _known_labels(self) -> NDArray[np.int64]:
        """Return a copy of the labels [N], -1 where an example was never seen."""
        return np.maximum(self._labels, -1)

    def _is_known(self, i: NDArray[np.int64], labels: bytes) -> bool:
        """Return whether all ids were seen before, with these labels: then they are in range too.

        A batch comes with cold caches, and every call costs: this is one look for all of it. Ids
        below 0 count from the end of the array, where there are no labels, and so do those that are
        a little too large.
        """
        try:
            return self._all_labels[i].tobytes() == labels
        except IndexError:
            return False

    def _require(self, i: NDArray[np.int64], z: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        """Refuse a batch before anything of it is kept.

        As unsigned numbers, those below 0 are too large: one look at the largest tells both.
        """
        if self._foreign:
            raise InputError(
                f"{self._file.path} holds the epochs of another training: give its checkpoint to "
                "load_state_dict() to go on with it, or name another file"
            )
        classes = self._classes or z.shape[1]
        if z.shape[1] != classes:
            raise InputError(f"logits have {z.shape[1]} classes, and had {classes} before")
        if i.view(np.uint64).max() >= self.n_examples:
            wrong = i[(i < 0) | (i >= self.n_examples)][0]
            raise InputError(f"ids must be 0 to {self.n_examples - 1}, got {wrong}")
        if y.view(np.uint64).max() >= classes:
            wrong = y[(y < 0) | (y >= classes)][0]
            raise InputError(
                f"labels must be 0 to {classes - 1}, one of the outputs, got {wrong}: leave "
                "examples without a label out"
            )
        if not np.isfinite(z).all():
            wrong = i[~np.isfinite(z).all(1)][0]
            raise InputError(
                f"logits of example {wrong} are not finite: training has diverged, or a mask is "
                "left in them"
            )

    def _learn_labels(self, i: NDArray[np.int64], y: NDArray[np.int64]) -> None:
        """Note the labels of examples that are new, and refuse those that have changed."""
        known = self._labels[i]
        wrong = (known != y) & (known != UNKNOWN)
        if not wrong.any():
            self._labels[i] = y
            # An id that is new, and in this batch twice, has the label that was noted last.
            wrong = self._labels[i] != y
            if not wrong.any():
                return
            noted = self._labels[i]
            self._labels[i] = known
            known = noted
        at = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"example {i[at]} is labelled {y[at]} and {known[at]}: an id must name the same "
            "example in every epoch, with the label that is trained on"
        )

    def _written(
        self, margin: NDArray[np.float16], loss: NDArray[np.float16], rivals: Rivals
    ) -> str:
        """Write an epoch where this process keeps the file, and return its checksum."""
        if rank():
            return ""
        return self._file.append(self.epoch, margin, loss, self._examples(rivals))

    def _examples(self, rivals: Rivals) -> dict[str, NDArray[Any]]:
        return {
            "classes": np.array(self._classes),
            "labels": self._known_labels().astype(narrowest(self._classes)),
            "rivals": rivals.classes,
            "weights": rivals.weights,
        }

    def _take_labels(self, state: Mapping[str, Any]) -> None:
        labels = state["labels"].numpy()
        self._labels[:] = np.where(labels < 0, UNKNOWN, labels)
        self._classes = int(state["classes"])

    def _restore_file(self, state: Mapping[str, Any]) -> None:
        rows = state.get("rows")
        if rows is None:
            self._file.rewind(state["checksums"])
            return
        self._file.rewind([])
        rivals = Rivals(state["rivals"].numpy(), state["weights"].numpy())
        self._take_labels(state)
        for epoch, (margin, loss) in enumerate(zip(*rows.numpy(), strict=True)):
            self._file.append(epoch, margin, loss, self._examples(rivals))


def _plainly_finite(logits: bytes) -> bool:
    """Return whether float32 logits are finite; False also where some exceed 1e38.

    Of numbers that are infinite or none, the first byte is 7f or ff. Right after a training step
    Python's own operations are in the processor's caches, and those of numpy are not.
    """
    first = logits[_FIRST::4]
    return b"\x7f" not in first and b"\xff" not in first

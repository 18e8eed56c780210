"""The tracker: it records margin and loss of every example in any training loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from byheart.auditing.epoch import (
    UNKNOWN,
    RunningEpoch,
    halved,
    observe,
    rank,
    real_numbers,
    whole_numbers,
)
from byheart.auditing.history import Alternatives, History, narrowest
from byheart.auditing.history_file import FileRows, HistoryFile
from byheart.auditing.scores import scores
from byheart.errors import InputError

STATE = 1
"""Version of what :meth:`Tracker.state_dict` returns."""
Ids = NDArray[np.int64]
ENOUGH = 8
"""Rows of a batch that show whether outputs are probabilities."""

_FIRST = 3 if sys.byteorder == "little" else 0
"""The byte of a float32 with its sign and most of its exponent."""
LOGITS = 2**18
"""Logits that wait to be reduced together: numpy's calls cost more than small batches."""


class Tracker:
    """Records margin and loss of every example in every epoch, and keeps them on disk.

    Call :meth:`update` with every batch, in any order, and :meth:`end_epoch` after every epoch. If
    an epoch sees an example several times, the mean counts. If it does not see an example, scores
    leave that epoch out for it. In a distributed training every process has its own tracker, and
    all processes must call ``end_epoch``, which combines what they saw.

    Memory is about 60 bytes per example, and twice that for a moment at the end of an epoch; the
    file takes 4 bytes per example and epoch, and 21 to 36 per example.

    Args:
        n_examples: N; ids are 0 to N - 1.
        path: file of the history. By default a temporary file, which is removed with the tracker
            and the last of its histories.

    Raises:
        InputError: ``n_examples`` is not a whole number of 1 or more.
        StoreError: the file at ``path`` is not a history, or is damaged.

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
        self._all_labels = np.full(2 * self.n_examples, UNKNOWN, np.int64)
        self._labels = self._all_labels[: self.n_examples]
        self._alternatives = Alternatives.empty(self.n_examples, 1)
        self._running = RunningEpoch.empty(self.n_examples)
        self._waiting: list[tuple[Ids, NDArray[np.float32], Ids]] = []
        self._waiting_logits = 0

    @property
    def epoch(self) -> int:
        """Number of epochs that ended."""
        return len(self._checksums)

    def update(self, ids: object, logits: object, labels: object) -> None:
        """Take in a batch. A batch that raises leaves the tracker unchanged.

        Tensors may be on any device and require gradients; arrays and lists work as well.

        Args:
            ids: [B] whole numbers from 0 to N - 1, the same for an example in every epoch.
            logits: [B, classes] as the loss is computed from, before softmax.
            labels: [B] whole numbers from 0 to classes - 1, as trained on.

        Raises:
            InputError: lengths that differ, an id or label out of range, another number of classes
                than before, logits that are not finite or are probabilities, a label that an
                example did not have before, or a file with the epochs of a training that was not
                restored.
        """
        i, y = whole_numbers("ids", ids), whole_numbers("labels", labels)
        z = real_numbers(logits)
        if not len(i) == len(z) == len(y):
            raise InputError(
                f"ids, logits and labels must be of equally many examples, got {len(i)}, {len(z)} "
                f"and {len(y)}"
            )
        if not len(i):
            return
        if not self._is_usual(i, z, y):
            self._require(i, z, y)
            self._learn_labels(i, y)
            if not self._classes:
                self._classes = z.shape[1]
                self._alternatives = Alternatives.empty(self.n_examples, self._classes)
        self._waiting.append((i, z, y))
        self._waiting_logits += z.size
        if self._waiting_logits >= LOGITS:
            self._reduce()

    def end_epoch(self) -> None:
        """Add the epoch to the history; if this raises, the history is unchanged.

        Raises:
            InputError: no batch since the last epoch, or processes disagree on labels.
            StoreError: the file cannot be written.
        """
        self._reduce()
        self._running.combine(self._labels)
        if not self._running.count.any():
            raise InputError("no example was seen in this epoch: call update() with every batch")
        margin, loss = self._running.means()
        alternatives = self._alternatives.copy()
        alternatives.add(self._running.rival, self._running.weight)
        self._checksums.append(self._written(halved(margin), halved(loss), alternatives))
        self._alternatives = alternatives
        self._running.clear()

    def gather(self) -> None:
        """Move what all processes saw of this epoch to the process of rank 0.

        All processes must call it before rank 0 saves its state, which then is the state of all. In
        a training of one process it does nothing.
        """
        self._reduce()
        self._running.combine(self._labels)
        if rank():
            self._running.clear()

    def history(self) -> History:
        """Return the history of the epochs that ended.

        Raises:
            InputError: no epoch ended yet, or this is not the process of rank 0, which keeps the
                history.
        """
        if rank():
            raise InputError("the history is kept by the process of rank 0: ask that one")
        if not self._checksums:
            raise InputError("no epoch has ended yet: call end_epoch() after each")
        rows = FileRows(self._file, tuple(self._checksums))
        return History(self._known_labels(), self._classes, rows, self._alternatives)

    def scores(self, *, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return one row per example and one column per score; see ``byheart.auditing.scores``.

        Args:
            start: first epoch that counts, from 0.
            stop: the epoch after the last that counts; all if not given.

        Raises:
            InputError: no epoch ended yet, or the window holds none.
        """
        return scores(self.history(), start=start, stop=stop)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: tensors and plain values, no pickled objects.

        In a distributed training this is the state of one process; see :meth:`gather`. The state
        refers to the epochs in the file at ``path``; without a ``path`` it contains them, at 4
        bytes per example and epoch.
        """
        self._reduce()
        state: dict[str, Any] = {
            "version": STATE,
            "n_examples": self.n_examples,
            "rank": rank(),
            "classes": self._classes,
            "checksums": list(self._checksums),
            "labels": torch.from_numpy(self._known_labels()),
            "rivals": torch.from_numpy(self._alternatives.classes.copy()),
            "weights": torch.from_numpy(self._alternatives.weights.copy()),
            "running": self._running.state(),
        }
        if self._temporary and self._checksums and not rank():
            history = History.read(self._file)
            state["rows"] = torch.from_numpy(np.stack([history.margin, history.loss]))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint; later epochs are removed, from the file as well.

        In a distributed training all processes may load the state of rank 0; only rank 0 takes
        over what that state holds of an epoch that had not ended.

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
        self._alternatives = Alternatives(
            state["rivals"].numpy().copy(), state["weights"].numpy().copy()
        )
        self._running.restore(state["running"])
        if state["rank"] != rank():
            self._running.clear()
        self._waiting, self._waiting_logits = [], 0

    def _known_labels(self) -> NDArray[np.int64]:
        """Return a copy of the labels [N], -1 where an example was never seen."""
        return np.maximum(self._labels, -1)

    def _reduce(self) -> None:
        """Add the batches that wait to the running epoch."""
        if not self._waiting:
            return
        ids, logits, labels = (
            np.concatenate(column) for column in zip(*self._waiting, strict=True)
        )
        self._waiting, self._waiting_logits = [], 0
        rows = max(1, LOGITS // self._classes)
        for start in range(0, len(ids), rows):
            part = slice(start, start + rows)
            self._running.add(ids[part], observe(logits[part], labels[part]))

    def _is_usual(self, i: Ids, z: NDArray[np.float32], y: Ids) -> bool:
        """Return whether all ids and labels were seen before, and all logits are finite.

        Most batches need no other check. The labels array is twice as long as there are examples,
        so negative ids find no label, and slightly too large ids neither. Operations on bytes stay
        in the processor's caches during a training step, numpy's do not: these two tricks save 2%
        of an epoch (docs/decisions/history.md).
        """
        try:
            known = self._all_labels[i].tobytes() == y.tobytes()
        except IndexError:
            return False
        # The first byte of an infinite number or NaN is 7f or ff.
        first = z.tobytes()[_FIRST::4]
        is_finite = b"\x7f" not in first and b"\xff" not in first
        return known and is_finite and z.shape[1] == self._classes

    def _require(self, i: Ids, z: NDArray[np.float32], y: Ids) -> None:
        """Refuse a batch before anything of it is kept."""
        if self._foreign:
            raise InputError(
                f"{self._file.path} holds the epochs of another training: give its checkpoint to "
                "load_state_dict() to go on with it, or name another file"
            )
        classes = self._classes or z.shape[1]
        if z.shape[1] != classes:
            raise InputError(f"logits have {z.shape[1]} classes, and had {classes} before")
        wrong = i[(i < 0) | (i >= self.n_examples)]
        if len(wrong):
            raise InputError(f"ids must be 0 to {self.n_examples - 1}, got {wrong[0]}")
        wrong = y[(y < 0) | (y >= classes)]
        if len(wrong):
            raise InputError(
                f"labels must be 0 to {classes - 1}, one of the outputs, got {wrong[0]}: leave "
                "examples without a label out"
            )
        if not np.isfinite(z).all():
            example = i[~np.isfinite(z).all(1)][0]
            raise InputError(
                f"logits of example {example} are not finite: training has diverged, or logits "
                "are masked with -inf"
            )

        if len(z) >= ENOUGH and z.min() >= 0 and np.allclose(z.sum(1), 1, atol=1e-4):
            raise InputError(
                "logits are probabilities: every row sums to 1; give what softmax takes, before "
                "it is applied, or the logarithm of the probabilities"
            )

    def _learn_labels(self, i: Ids, y: Ids) -> None:
        """Store the labels of new examples, and refuse labels that changed."""
        known = self._labels[i]
        changed = (known != y) & (known != UNKNOWN)
        if not changed.any():
            self._labels[i] = y
            # A new example that is twice in this batch has the label that was stored last.
            stored = self._labels[i]
            changed = stored != y
            if not changed.any():
                return
            self._labels[i] = known
            known = stored
        first = int(np.flatnonzero(changed)[0])
        raise InputError(
            f"example {i[first]} is labelled {y[first]} and {known[first]}: an id must name the "
            "same example in every epoch, with the label that is trained on"
        )

    def _written(
        self, margin: NDArray[np.float16], loss: NDArray[np.float16], alternatives: Alternatives
    ) -> str:
        """Write an epoch if this process keeps the file, and return its checksum."""
        if rank():
            return ""
        return self._file.append(self.epoch, margin, loss, self._examples(alternatives))

    def _examples(self, alternatives: Alternatives) -> dict[str, NDArray[Any]]:
        return {
            "classes": np.array(self._classes),
            "labels": self._known_labels().astype(narrowest(self._classes)),
            "rivals": alternatives.classes,
            "weights": alternatives.weights,
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
        alternatives = Alternatives(state["rivals"].numpy(), state["weights"].numpy())
        self._take_labels(state)
        for epoch, (margin, loss) in enumerate(zip(*rows.numpy(), strict=True)):
            self._file.append(epoch, margin, loss, self._examples(alternatives))

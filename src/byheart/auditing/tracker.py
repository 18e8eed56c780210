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

from byheart.auditing.batches import (
    IGNORED,
    losses_of,
    of_tokens,
    real_numbers,
    whole_numbers,
)
from byheart.auditing.epoch import UNKNOWN, RunningEpoch, halved, observe, rank
from byheart.auditing.history import Alternatives, History, narrowest
from byheart.auditing.history_file import FileRows, HistoryFile, Row
from byheart.auditing.scores import scores
from byheart.errors import InputError

STATE = 2
"""Version of what :meth:`Tracker.state_dict` returns. 2: rows are [E, 2, N], or losses alone."""
Ids = NDArray[np.int64]
ENOUGH = 8
"""Rows of a batch that show whether outputs are probabilities."""

_FIRST = 3 if sys.byteorder == "little" else 0
"""The byte of a float32 with its sign and most of its exponent."""
LOWEST = np.float32(-1e30)
"""Logit of a class that is masked by -inf: its probability is 0, and margins stay finite."""
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

    A copy or a pickle of a tracker holds all its epochs, and keeps them in a temporary file of its
    own: the copy never writes to ``path``.

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
        >>> regression = Tracker(2)
        >>> regression.update([0, 1], loss=[0.5, 2.0])
        >>> regression.end_epoch()
        >>> regression.scores()["cumulative_loss"].tolist()
        [0.5, 2.0]
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
        self._not_finite: list[int] = []
        self._foreign = rank() == 0 and bool(self._file.checksums())
        self._classes = 0
        # Whether batches come as losses; None before the first batch.
        self._of_losses: bool | None = None
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

    def update(
        self, ids: object, logits: object = None, labels: object = None, *, loss: object = None
    ) -> None:
        """Take in a batch: its logits and labels, or a loss. If it raises, nothing is kept.

        Tensors may be on any device and require gradients; arrays and lists work as well. Examples
        whose logits or loss are infinite or NaN, as mixed precision makes them now and then, are
        left out and counted (:attr:`History.not_finite`). A class that is masked by -inf is
        allowed.

        A ``loss`` suits trainings without classes: regression, several labels per example, language
        models. It gives fewer scores: no margins, suggested labels or verdicts.

        Args:
            ids: [B] whole numbers from 0 to N - 1, the same for an example in every epoch. For
                tokens as examples [B, T].
            logits: [B, classes] as the loss is computed from, before softmax; or [B, T, classes].
            labels: [B] whole numbers from 0 to classes - 1, as trained on; or [B, T]. Examples or
                tokens labelled -100 are left out, as torch's losses do. With a loss, the labels
                only say which parts of it to leave out.
            loss: [B] of each example; or [B, ...], of which the mean counts; or [B, T], one for
                each id.

        Raises:
            InputError: lengths that differ, an id or label out of range, another number of classes
                than before, logits that are probabilities, a label that an example did not have
                before, losses where logits were before, or a file with the epochs of a training
                that was not restored.
        """
        if loss is not None:
            self._update_losses(ids, loss, logits, labels)
            return
        if logits is None or labels is None:
            raise InputError("give logits and labels, or loss=..., one per example")
        if getattr(labels, "ndim", 1) > 1:
            ids, logits, labels = of_tokens(ids, logits, labels)
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
            i, z, y = self._checked(i, z, y)
        self._waiting.append((i, z, y))
        self._waiting_logits += z.size
        if self._waiting_logits >= LOGITS:
            self._reduce()

    def _update_losses(self, ids: object, loss: object, logits: object, labels: object) -> None:
        if logits is not None:
            raise InputError("give logits and labels, or a loss, not both")
        i, values = losses_of(ids, loss, labels)
        self._require_place(i, of_losses=True)
        finite = np.isfinite(values)
        self._of_losses = True
        self._labels[i] = 0
        self._running.not_finite[0] += len(i) - int(finite.sum())
        self._running.add_losses(i[finite], values[finite])

    def end_epoch(self) -> None:
        """Add the epoch to the history; if this raises, the history is unchanged.

        Raises:
            InputError: no batch since the last epoch, or processes disagree on labels.
            StoreError: the file cannot be written.
        """
        self._reduce()
        self._running.combine(self._labels)
        not_finite = int(self._running.not_finite[0])
        if not self._running.count.any():
            raise InputError(
                "no prediction of this epoch is finite: the training has diverged"
                if not_finite
                else "no example was seen in this epoch: call update() with every batch"
            )
        margin, loss = self._running.means()
        alternatives = self._alternatives.copy()
        alternatives.add(self._running.rival, self._running.weight)
        row: Row = loss[None] if self._of_losses else np.stack([halved(margin), halved(loss)])
        counts = [*self._not_finite, not_finite]
        examples = self._examples(alternatives) | {"not_finite": np.array(counts, np.int64)}
        # Only the process of rank 0 keeps the file.
        self._checksums.append("" if rank() else self._file.append(self.epoch, row, examples))
        self._alternatives, self._not_finite = alternatives, counts
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
        counts = np.array(self._not_finite, np.int64)
        return History(self._known_labels(), self._classes, rows, self._alternatives, counts)

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
        return self._state(with_rows=self._temporary)

    def _state(self, *, with_rows: bool) -> dict[str, Any]:
        self._reduce()
        state: dict[str, Any] = {
            "version": STATE,
            "n_examples": self.n_examples,
            "rank": rank(),
            "classes": self._classes,
            "of_losses": self._of_losses,
            "checksums": list(self._checksums),
            "not_finite": list(self._not_finite),
            "labels": torch.from_numpy(self._known_labels()),
            "rivals": torch.from_numpy(self._alternatives.classes.copy()),
            "weights": torch.from_numpy(self._alternatives.weights.copy()),
            "running": self._running.state(),
        }
        if with_rows and self._checksums and not rank():
            rows = FileRows(self._file, tuple(self._checksums))
            state["rows"] = torch.from_numpy(np.stack([rows[e] for e in range(len(rows))]))
        return state

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle or a copy holds: all epochs, not the path of the file."""
        return self._state(with_rows=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle or make a copy, with a temporary file of its own."""
        Tracker.__init__(self, state["n_examples"])
        self.load_state_dict(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint; later epochs are removed, from the file as well.

        In a distributed training all processes may load the state of rank 0; only rank 0 takes
        over what that state holds of an epoch that had not ended.

        Raises:
            InputError: the state is of another number of examples, or of a newer byheart.
            StoreError: the file at ``path`` does not hold the epochs of the checkpoint.
        """
        if state.get("version") not in (1, STATE) or state.get("n_examples") != self.n_examples:
            raise InputError(
                f"the state is of {state.get('n_examples')} examples (version "
                f"{state.get('version')}), this tracker is of {self.n_examples} (version {STATE})"
            )
        if rank() == 0:
            self._restore_file(state)
        self._checksums = list(state["checksums"])
        self._not_finite = list(state.get("not_finite", [0] * self.epoch))
        self._of_losses = state.get("of_losses", False if state["classes"] else None)
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

    def _require_place(self, i: Ids, *, of_losses: bool) -> None:
        """Refuse ids out of range, a change from logits to losses, and another training's file."""
        if self._foreign:
            raise InputError(
                f"{self._file.path} holds the epochs of another training: give its checkpoint to "
                "load_state_dict() to go on with it, or name another file"
            )
        if self._of_losses not in (None, of_losses):
            before, now = ("a loss", "logits") if self._of_losses else ("logits", "a loss")
            raise InputError(f"this tracker was given {before} before, and {now} now: keep to one")
        wrong = i[(i < 0) | (i >= self.n_examples)]
        if len(wrong):
            raise InputError(f"ids must be 0 to {self.n_examples - 1}, got {wrong[0]}")

    def _checked(
        self, i: Ids, z: NDArray[np.float32], y: Ids
    ) -> tuple[Ids, NDArray[np.float32], Ids]:
        """Return the examples of a batch that count; refuse one that is wrong, and keep nothing."""
        labelled = y != IGNORED
        if not labelled.all():
            i, z, y = i[labelled], z[labelled], y[labelled]
        self._require_place(i, of_losses=False)
        classes = self._classes or z.shape[1]
        if z.shape[1] != classes:
            raise InputError(f"logits have {z.shape[1]} classes, and had {classes} before")
        wrong = y[(y < 0) | (y >= classes)]
        if len(wrong):
            raise InputError(
                f"labels must be 0 to {classes - 1}, one of the outputs, got {wrong[0]}: leave "
                "examples without a label out, or label them -100"
            )
        usable = (z < np.inf).all(1) & np.isfinite(z[np.arange(len(y)), y])
        some = z[usable]
        if len(some) >= ENOUGH and some.min() >= 0 and np.allclose(some.sum(1), 1, atol=1e-4):
            raise InputError(
                "logits are probabilities: every row sums to 1; give what softmax takes, before "
                "it is applied, or the logarithm of the probabilities"
            )
        self._learn_labels(i, y)
        if not self._classes:
            self._classes, self._of_losses = classes, False
            self._alternatives = Alternatives.empty(self.n_examples, classes)
        self._running.not_finite[0] += len(y) - len(some)
        return i[usable], np.maximum(some, LOWEST), y[usable]

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
        values = rows.numpy() if state["version"] == STATE else rows.numpy().swapaxes(0, 1)
        self._file.rewind([])
        alternatives = Alternatives(state["rivals"].numpy(), state["weights"].numpy())
        self._take_labels(state)
        examples = self._examples(alternatives)
        for epoch, row in enumerate(values):
            self._file.append(epoch, np.ascontiguousarray(row), examples)

"""What an audit found, as one table and what says how far to believe it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.calibration import Calibration, calibrate
from byheart.auditing.history import History
from byheart.auditing.kinds import Kinds
from byheart.auditing.layout import Ids
from byheart.auditing.neighbours import Neighbours, find_neighbours
from byheart.auditing.notes import remarks
from byheart.auditing.onset import Onset
from byheart.auditing.planting import Doubts
from byheart.auditing.scores import checked
from byheart.auditing.suspicion import suspicion
from byheart.auditing.table import ranked, scores, suggested
from byheart.auditing.tracker import Tracker
from byheart.auditing.verdicts import evidence, support, verdicts
from byheart.data.dataset import Dataset
from byheart.errors import InputError

PRECISION = 0.9
"""Wanted of the list of flagged examples, if nothing else is."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found.

    Attributes:
        name: of the data set.
        classes: name of each class.
        table: one row per example, by ``id``: ``label``, ``suspicion`` (the higher, the more
            suspect), ``p_wrong`` (the probability that the label is wrong; NaN without planted
            flips), ``flagged`` (on the list whose precision was asked for), ``suggested`` (another
            label), ``verdict`` ("mislabelled", "rare", "ambiguous", "typical"), ``evidence`` (in
            words), ``conflicts_with`` (id of a near-duplicate with another label, or -1), and one
            column per score.
        onset: when memorization sets in; None if no examples were held out.
        calibration: precision and recall of the ranking; None if too few flips were planted.
        window: the epochs that suspicion is averaged over: the first so many.
        epochs: of each training.
        seeds: number of trainings.
        gaps: for each seed and epoch, how many examples were not seen with the user's label.
        notes: what a reader should know of these data, in a sentence each.
        dataset: the examples, if they are at hand; the page shows them.
    """

    name: str
    classes: tuple[str, ...]
    table: pd.DataFrame
    onset: Onset | None
    calibration: Calibration | None
    window: int
    epochs: int
    seeds: int
    gaps: NDArray[np.int64]
    notes: tuple[str, ...]
    dataset: Dataset | None = None

    @property
    def flagged(self) -> pd.DataFrame:
        """The rows of the table that are flagged, the likeliest to be wrong first."""
        return self.table.loc[[] if self.calibration is None else self.calibration.listed]

    @property
    def ranking(self) -> Ids:
        """Ids of all examples that have a score, the likeliest to be wrong first.

        By ``p_wrong``, which knows that some kinds of label are wrong more often than others; by
        ``suspicion`` where that is equal, or not known because no flips were planted.
        """
        return ranked(self.table)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        texts: Sequence[str] | None = None,
        about: Mapping[str, str] | None = None,
    ) -> Path:
        """Write what was found as a page: one file, which needs no network.

        Args:
            path: of the file; folders that do not exist are made.
            texts: what to show of each example, by id; without, its input as a picture, if it is
                one, else in numbers.
            about: further facts to state, by name: the network, where the data come from.

        Returns:
            The path.

        Raises:
            InputError: more or fewer texts than examples.
            StoreError: the file cannot be written.
        """
        from byheart.auditing.page import write_page

        return write_page(self, Path(path), texts=texts, about=about)

    @classmethod
    def from_tracker(
        cls,
        trackers: Tracker | History | Sequence[Tracker | History],
        *,
        dataset: Dataset | None = None,
        window: int | None = None,
        planted: Sequence[int] | Ids = (),
        precision: float = PRECISION,
        name: str = "",
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Audit:
        """Return the audit of trainings of your own, each followed by a tracker.

        Args:
            trackers: or what they left, one or several on the same examples.
            dataset: the examples by id; finds near-duplicates and isolated examples, and names
                classes.
            window: the epochs that suspicion is averaged over, the first so many: best about twice
                as many as to the highest accuracy on held-out examples; all if not given.
            planted: ids of 20 examples or more whose labels you changed on purpose before training:
                precision and recall are estimated from them. Their own rows are about the changed
                labels, are never flagged, and have no verdict.
            precision: wanted of the list that is flagged.
            name: of the data set.
            classes: name of each class.
            seed: of all that is drawn.

        Raises:
            InputError: no epoch ended, seeds with other examples or labels, a window that is empty
                or longer than the training, or ids that there are not.
        """
        each = [trackers] if isinstance(trackers, Tracker | History) else list(trackers)
        histories = checked([one.history() if isinstance(one, Tracker) else one for one in each])
        epochs = min(one.epochs for one in histories)
        stop = epochs if window is None else window
        flips = _flips(planted, len(histories[0]))
        total = suspicion(histories, stop=stop)
        own = np.stack([suspicion(one, stop=stop) for one in histories])
        scores_of_flips = own[:, flips]
        total[flips], own[:, flips] = np.nan, np.nan
        calibration = calibrate(
            total,
            own,
            scores_of_flips,
            wanted=wanted(precision),
            kinds=_kinds(histories, total, flips),
            seed=seed,
        )
        names = class_names(histories[0].n_classes, classes, dataset)
        title = name or (dataset.name if dataset is not None else "training")
        return assemble(
            histories,
            total,
            stop,
            None,
            calibration,
            dataset,
            title,
            names,
            flips=scores_of_flips.size,
            seed=seed,
        )


def assemble(
    histories: Sequence[History],
    total: NDArray[np.float64],
    window: int,
    onset: Onset | None,
    calibration: Calibration | None,
    dataset: Dataset | None,
    name: str,
    classes: tuple[str, ...],
    *,
    flips: int,
    further: Mapping[str, NDArray[Any]] | None = None,
    seed: int,
) -> Audit:
    """Put an audit together from what trainings left.

    Args:
        histories: one per seed.
        total: [N] suspicion over all seeds; NaN for examples that are not judged.
        window: the epochs that it is averaged over.
        onset: if it was found.
        calibration: if enough flips were planted.
        dataset: if the inputs are at hand.
        name: of the data set.
        classes: name of each class.
        flips: how many were planted, over all seeds.
        further: columns that did not come from the histories.
        seed: of the sample of examples that says which distances are typical.
    """
    table = scores(histories)
    labels = table["label"].to_numpy(copy=True)
    flagged = np.zeros(len(table), bool)
    if calibration is not None:
        flagged[calibration.listed] = True
    found = support(histories, stop=window if onset is None else onset.epoch)
    around = _around(dataset, labels, total, flagged, seed)
    verdict = verdicts(total, flagged, around.isolated, found)
    words = evidence(verdict, labels, found, around.isolated, around.conflicts, classes)
    p_wrong = np.full(len(table), np.nan) if calibration is None else calibration.p_wrong
    columns: dict[str, NDArray[Any] | pd.Series[Any]] = {
        "suspicion": total.astype(np.float32),
        "p_wrong": p_wrong.astype(np.float32),
        "flagged": flagged,
        "suggested": table.pop("suggested"),
        "suggested_probability": table.pop("suggested_probability"),
        "verdict": verdict,
        "evidence": words,
        "conflicts_with": around.conflicts,
    }
    for at, (column, values) in enumerate(columns.items(), 1):
        table.insert(at, column, values)
    for column, values in (further or {}).items():
        table[column] = values
    epochs = min(one.epochs for one in histories)
    gaps = np.stack([one.gaps[:epochs] for one in histories])
    notes = tuple(
        remarks(labels, classes, gaps, onset, flips=flips, calibrated=calibration is not None)
    )
    return Audit(
        name=name,
        classes=classes,
        table=table,
        onset=onset,
        calibration=calibration,
        window=window,
        epochs=epochs,
        seeds=len(histories),
        gaps=gaps,
        notes=notes,
        dataset=dataset,
    )


def _around(
    dataset: Dataset | None,
    labels: Ids,
    total: NDArray[np.float64],
    flagged: NDArray[np.bool_],
    seed: int,
) -> Neighbours:
    if dataset is None:
        return Neighbours(np.full(len(labels), -1), np.zeros(len(labels), bool))
    if len(dataset) != len(labels):
        raise InputError(
            f"the data set has {len(dataset)} examples, and {len(labels)} were followed: give the "
            "one that was trained on, in its order"
        )
    doubtful = np.flatnonzero(flagged | (total > 0))
    order = doubtful[np.argsort(-total[doubtful], kind="stable")]
    return find_neighbours(dataset.x.cpu(), labels, order, seed=seed)


def wanted(precision: float) -> float:
    """Return a precision that can be asked for.

    Raises:
        InputError: it is not between 0 and 1.
    """
    if not 0 < precision < 1:
        raise InputError(f"precision must be above 0 and below 1, got {precision!r}")
    return float(precision)


def class_names(
    count: int, classes: Sequence[str] | None, dataset: Dataset | None
) -> tuple[str, ...]:
    """Return a name for each output.

    Raises:
        InputError: there are more or fewer names than outputs.
    """
    if classes is None:
        classes = dataset.classes if dataset is not None else [str(k) for k in range(count)]
    if len(classes) != count:
        raise InputError(f"classes must be {count} names, one per output, got {len(classes)}")
    return tuple(classes)


def _kinds(histories: Sequence[History], total: NDArray[np.float64], flips: Ids) -> Kinds:
    labels = np.max([one.labels for one in histories], axis=0)
    doubts = Doubts(labels, total, suggested(histories).classes)
    confused = doubts.are_confused(doubts.suggested, labels)
    return Kinds(confused, np.tile(confused[flips], (len(histories), 1)))


def _flips(planted: Sequence[int] | Ids, examples: int) -> Ids:
    ids = np.unique(np.asarray(planted, dtype=np.int64))
    if len(ids) and not (ids[0] >= 0 and ids[-1] < examples):
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise InputError(f"planted ids must be 0 to {examples - 1}, got {wrong}")
    return ids

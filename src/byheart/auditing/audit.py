"""``byheart.Audit``: what an audit measured, as a table, a page and a notebook cell."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.calibration import Calibration, calibrate
from byheart.auditing.groups import Grouping
from byheart.auditing.history import History
from byheart.auditing.onset import Onset
from byheart.auditing.page import render
from byheart.auditing.planting import FlipModel, Ids
from byheart.auditing.result import AuditResult, remarks
from byheart.auditing.scores import checked, scores, suspicion
from byheart.auditing.tracker import Tracker
from byheart.auditing.verdicts import Neighbours, evidence, find_neighbours, support, verdicts
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.files import write_text
from byheart.report.numbers import sentence

PRECISION = 0.9
"""Target precision of the flagged list, if none is given."""
NOTEBOOK_ROWS = 10


class Audit(AuditResult):
    """What an audit measured; see :class:`byheart.auditing.result.AuditResult` for its fields."""

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        texts: Sequence[str] | None = None,
        about: Mapping[str, str] | None = None,
    ) -> Path:
        """Write the page of this audit: one file that needs no network.

        Args:
            path: path of the file; missing folders are made.
            texts: what to show of each example, by id. Without texts, the page shows pictures as
                pictures and other inputs as numbers.
            about: further facts to state, by name: the network, where the data come from.

        Returns:
            The path.

        Raises:
            InputError: more or fewer texts than examples.
            StoreError: the file cannot be written.
        """
        return write_text(Path(path), render(self, texts=texts, about=about))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the alerts and the first rows of the ranking."""
        alerts = "".join(
            f"<li><b>{alert.kind}</b>: {html.escape(sentence(alert.text))}</li>"
            for alert in self.alerts
        )
        shown = self.flagged if len(self.flagged) else self.table.loc[self.ranking]
        columns = ["label", "suggested", "p_wrong", "suspicion", "verdict"]
        rows = shown[columns].head(NOTEBOOK_ROWS).copy()
        for column in ("label", "suggested"):
            rows[column] = [self.classes[k] if k >= 0 else "" for k in rows[column].tolist()]
        title = "Flagged examples" if len(self.flagged) else "The most suspect examples"
        return (
            f"<p><b>Audit of {html.escape(self.name)}</b>: {len(self.table):,} examples, "
            f"{self.seeds} runs of {self.epochs} epochs</p><ul>{alerts}</ul>"
            f"<p>{title} ({len(rows)} of {len(shown):,}):</p>{rows.to_html()}"
        )

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
        """Return the audit of your own training runs, each followed by a tracker.

        Args:
            trackers: trackers or their histories, one or several, of the same examples.
            dataset: the examples by id. With it, byheart finds near-duplicates and isolated
                examples, and knows the names of classes.
            window: suspicion is averaged over the first ``window`` epochs. Best is about twice the
                epoch with the highest accuracy on held-out examples; all epochs if not given.
            planted: ids of 20 or more examples whose labels you changed on purpose before training;
                byheart estimates precision and recall from them. Their rows are about the changed
                labels, are never flagged, and have no verdict.
            precision: target precision of the flagged list.
            name: name of the data set.
            classes: name of each class.
            seed: seed of all random draws.

        Raises:
            InputError: no epoch ended, seeds with other examples or labels, a window that is empty
                or longer than the training, or ids out of range.
        """
        runs = [trackers] if isinstance(trackers, Tracker | History) else list(trackers)
        histories = checked([run.history() if isinstance(run, Tracker) else run for run in runs])
        epochs = min(history.epochs for history in histories)
        stop = epochs if window is None else window
        flips = _ids(planted, len(histories[0]))
        table = scores(histories)
        mean = suspicion(histories, stop=stop)
        by_seed = np.stack([suspicion(history, stop=stop) for history in histories])
        of_flips = by_seed[:, flips]
        mean[flips], by_seed[:, flips] = np.nan, np.nan
        calibration = calibrate(
            mean,
            by_seed,
            of_flips,
            wanted=require_precision(precision),
            grouping=_grouping(table, mean, flips, len(histories)),
            seed=seed,
        )
        return assemble(
            table,
            histories,
            mean,
            stop,
            None,
            calibration,
            dataset,
            name or (dataset.name if dataset is not None else "training"),
            _class_names(histories[0].n_classes, classes, dataset),
            flips=of_flips.size,
            seed=seed,
        )


def assemble(
    table: pd.DataFrame,
    histories: Sequence[History],
    mean: NDArray[np.float64],
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
    """Return the audit of some histories, whose scores are in a ``table`` that gets more columns.

    ``mean`` [N] is the suspicion over all seeds, NaN for examples that are not judged. Without
    held-out examples there is no onset; with too few planted ``flips``, no calibration.
    """
    labels = table["label"].to_numpy(copy=True)
    flagged = np.zeros(len(table), bool)
    if calibration is not None:
        flagged[calibration.listed] = True
    suggested = table.pop("suggested")
    believed = support(
        histories, suggested.to_numpy(np.int64), stop=window if onset is None else onset.epoch
    )
    around = _around(dataset, labels, mean, flagged, seed)
    verdict = verdicts(mean, flagged, around.isolated, believed)
    words = evidence(verdict, labels, believed, around.isolated, around.conflicts, classes)
    p_wrong = np.full(len(table), np.nan) if calibration is None else calibration.p_wrong
    columns: dict[str, NDArray[Any] | pd.Series[Any]] = {
        "suspicion": mean.astype(np.float32),
        "p_wrong": p_wrong.astype(np.float32),
        "flagged": flagged,
        "suggested": suggested,
        "suggested_probability": table.pop("suggested_probability"),
        "verdict": verdict,
        "evidence": words,
        "conflicts_with": around.conflicts,
    }
    for at, (column, values) in enumerate(columns.items(), 1):
        table.insert(at, column, values)
    for column, values in (further or {}).items():
        table[column] = values
    epochs = min(history.epochs for history in histories)
    gaps = np.stack([history.gaps[:epochs] for history in histories])
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
        notes=remarks(
            labels, classes, gaps, onset, flips=flips, calibrated=calibration is not None
        ),
        dataset=dataset,
    )


def require_precision(precision: float) -> float:
    """Return a target precision that is between 0 and 1."""
    if not 0 < precision < 1:
        raise InputError(f"precision must be above 0 and below 1, got {precision!r}")
    return float(precision)


def _around(
    dataset: Dataset | None,
    labels: Ids,
    mean: NDArray[np.float64],
    flagged: NDArray[np.bool_],
    seed: int,
) -> Neighbours:
    if dataset is None:
        return Neighbours(np.full(len(labels), -1), np.zeros(len(labels), bool))
    if len(dataset) != len(labels):
        raise InputError(
            f"the data set has {len(dataset)} examples, and the runs had {len(labels)}: give the "
            "data set that was trained on, in its order"
        )
    doubtful = np.flatnonzero(flagged | (mean > 0))
    order = doubtful[np.argsort(-mean[doubtful], kind="stable")]
    return find_neighbours(dataset.x.cpu(), labels, order, seed=seed)


def _class_names(
    count: int, classes: Sequence[str] | None, dataset: Dataset | None
) -> tuple[str, ...]:
    if classes is None:
        classes = dataset.classes if dataset is not None else [str(k) for k in range(count)]
    if len(classes) != count:
        raise InputError(f"classes must be {count} names, one per output, got {len(classes)}")
    return tuple(classes)


def _grouping(table: pd.DataFrame, mean: NDArray[np.float64], flips: Ids, seeds: int) -> Grouping:
    labels, suggested = (table[name].to_numpy(np.int64) for name in ("label", "suggested"))
    confused = FlipModel(labels, mean, suggested).are_confused(suggested, labels)
    return Grouping(confused, np.tile(confused[flips], (seeds, 1)))


def _ids(planted: Sequence[int] | Ids, examples: int) -> Ids:
    ids = np.unique(np.asarray(planted, dtype=np.int64))
    if len(ids) and not (ids[0] >= 0 and ids[-1] < examples):
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise InputError(f"planted ids must be 0 to {examples - 1}, got {wrong}")
    return ids

"""``byheart.Audit``: what an audit measured, as a table, a page and a notebook cell."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from byheart.auditing.adapters.indexed import IndexedDataset, targets_of
from byheart.auditing.calibration import Calibration, calibrated, ranking_of, require_precision
from byheart.auditing.cards import with_names
from byheart.auditing.history import History
from byheart.auditing.isotonic import strata_of
from byheart.auditing.onset import Onset, find_onset
from byheart.auditing.page import render
from byheart.auditing.planting import NO_BOUNDS, Ids, Planted, bounds_of
from byheart.auditing.result import AuditResult, remarks
from byheart.auditing.reviews import WRONG, Verdicts, draw_sample, read_reviews
from byheart.auditing.scores import checked, scores, suspicion, window_of
from byheart.auditing.tracker import Tracker
from byheart.auditing.verdicts import (
    Neighbours,
    evidence,
    find_neighbours,
    kinds_of_doubt,
    support,
    verdicts,
)
from byheart.data.dataset import Dataset
from byheart.data.preparation import Preparation, kind_of
from byheart.errors import InputError
from byheart.files import write_text
from byheart.report.numbers import counted, sentence

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
            about: further facts to state, by name, such as where the data come from.

        Returns:
            The path.

        Raises:
            InputError: more or fewer texts than examples.
            StoreError: the file cannot be written.
        """
        return write_text(Path(path), render(self, texts=texts, about=about))

    def __repr__(self) -> str:
        head = f"Audit of {self.name}: {self._size}"
        return "\n  ".join((head, *(f"{a.kind}: {sentence(a.text)}" for a in self.alerts)))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the alerts and the first rows of the ranking."""
        alerts = "".join(
            f"<li><b>{alert.kind}</b>: {html.escape(sentence(alert.text))}</li>"
            for alert in self.alerts
        )
        shown = self.flagged
        columns = ["label", "suggested", "p_wrong", "suspicion", "verdict"]
        rows = shown[columns].head(NOTEBOOK_ROWS).copy()
        for column in ("label", "suggested"):
            rows[column] = [self.classes[k] if k >= 0 else "" for k in rows[column].tolist()]
        return (
            f"<p><b>Audit of {html.escape(self.name)}</b>: {self._size}</p><ul>{alerts}</ul>"
            f"<p>Flagged examples ({len(rows)} of {len(shown):,}):</p>{rows.to_html()}"
        )

    @property
    def _size(self) -> str:
        """Examples, runs and epochs in words."""
        runs, epochs = counted(self.seeds, "run"), counted(self.epochs, "epoch")
        return f"{counted(len(self.table), 'example')}, {runs} of {epochs}"

    @classmethod
    def from_tracker(
        cls,
        trackers: Tracker | History | Sequence[Tracker | History],
        dataset: Dataset | IndexedDataset | None = None,
        *,
        window: int | None = None,
        held_out: Tracker | History | Sequence[Tracker | History] = (),
        planted: Planted | None = None,
        precision: float = PRECISION,
        name: str = "",
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Audit:
        """Return the audit of your own training runs, each followed by a tracker.

        Args:
            trackers: trackers or their histories, one or several, of the same examples.
            dataset: the examples by id, as :func:`byheart.load_dataset` returns them: byheart then
                finds near-duplicates and isolated examples, and knows the names of classes. Or the
                :class:`byheart.IndexedDataset` that was trained on: byheart then knows the labels
                that it planted as well.
            window: suspicion is averaged over the first ``window`` epochs. Best is about twice the
                epoch with the highest accuracy on held-out examples; all epochs if not given.
            held_out: for each run a tracker of examples that it did not train on, with their logits
                after each epoch. They tell the onset, and the window if none is given.
            planted: what :func:`byheart.plant` returned, if you trained on its labels. How these
                rank bounds the number of wrong labels. Their rows are about the changed labels, are
                never flagged, and have no verdict. An ``IndexedDataset`` brings its own.
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
        onset = _onset(held_out, len(histories), seed)
        stop = epochs if window is None else window
        if window is None and onset is not None:
            stop = window_of(onset.epoch, epochs)
        further: dict[str, NDArray[Any]] = {}
        if isinstance(dataset, IndexedDataset):
            planted = dataset.planted if planted is None else planted
            further = _targets(dataset)
            dataset = _examples(dataset, histories[0].n_classes)
        table = scores(histories)
        if "label" not in table:
            table.insert(0, "label", _labels_beside_losses(dataset, planted, len(table)))
        mean, kinds = suspicion(histories, stop=stop), NO_BOUNDS
        if planted is not None:
            planted.require_trained_on(table["label"].to_numpy())
            kinds = bounds_of(mean, planted)
            mean[planted.ids] = np.nan
        return assemble(
            table,
            histories,
            mean,
            stop,
            onset,
            kinds,
            require_precision(precision),
            dataset,
            name or (dataset.name if dataset is not None else "training data"),
            _class_names(histories[0].n_classes, classes, dataset),
            further=further,
            seed=seed,
        )

    def to_review(self, n: int = 100, *, seed: int = 0) -> pd.DataFrame:
        """Draw examples for a person to review, in an order to stop at any time.

        The ranking is cut into 20 strata, narrow at the top (see
        :func:`byheart.auditing.isotonic.strata_of`), and as many examples are drawn from each.
        Examples that were reviewed before are not drawn again.

        Args:
            n: number of examples. 20 give a first idea, 100 an interval about 10 points wide.
            seed: seed of the draw.

        Returns:
            A table by ``id``: ``stratum`` (0 at the top of the ranking), ``probability`` (of being
            drawn), ``label``, ``suggested``, their names, ``data`` (fingerprint of the data set),
            and an empty column ``verdict`` for the reviewer: "wrong", "right" or "unsure". The
            reviewer may put the right class into ``label``.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"n must be a whole number of 1 or more, got {n!r}")
        ranking, bounds = self.calibration.ranking, strata_of(len(self.calibration.ranking))
        reviews = self.calibration.reviews
        reviewed = None if reviews is None else reviews.ids
        drawn = draw_sample(ranking, n, seed=seed, reviewed=reviewed)
        stratum = np.searchsorted(bounds, drawn, "right") - 1
        share = np.bincount(stratum, minlength=len(bounds) - 1) / np.diff(bounds)
        rows = self.table.loc[ranking[drawn], ["label", "suggested"]]
        rows = with_names(rows, self.classes)
        rows.insert(0, "stratum", stratum)
        rows.insert(1, "probability", share[stratum])
        rows["verdict"], rows["data"] = "", self._fingerprint
        return rows

    def review(
        self, reviews: Verdicts | Sequence[Verdicts], *, precision: float | None = None
    ) -> Audit:
        """Return the audit with all numbers estimated from reviews; nothing is trained.

        Args:
            reviews: verdicts by id ("wrong", "right" or "unsure"; True means wrong), a table or a
                CSV file with the columns ``id`` and ``verdict``, as :meth:`to_review` draws them;
                or a list of these, one per reviewer. Where reviewers disagree, and for "unsure",
                intervals span both verdicts.
            precision: target precision of the list; that of this audit if not given.

        Raises:
            InputError: an id that does not exist, two verdicts on one example, reviews of another
                data set, or fewer than 10 verdicts.
        """
        found = read_reviews(reviews, len(self.table), fingerprint=self._fingerprint)
        suspicion = self.table["suspicion"].to_numpy(np.float64, copy=True)
        unjudged = np.setdiff1d(np.arange(len(suspicion)), self.calibration.ranking)
        suspicion[unjudged] = np.nan
        calibration = calibrated(
            suspicion,
            self.table["label"].to_numpy(np.int64),
            found,
            self.calibration.kinds,
            self.calibration.wanted if precision is None else require_precision(precision),
        )
        return replace(self, calibration=calibration, table=judged(self.table, calibration))

    @property
    def _fingerprint(self) -> str:
        return "" if self.dataset is None else self.dataset.fingerprint


def assemble(
    table: pd.DataFrame,
    histories: Sequence[History],
    mean: NDArray[np.float64],
    window: int,
    onset: Onset | None,
    kinds: pd.DataFrame,
    precision: float,
    dataset: Dataset | None,
    name: str,
    classes: tuple[str, ...],
    *,
    further: Mapping[str, NDArray[Any]] | None = None,
    facts: Mapping[str, str] | None = None,
    seed: int,
) -> Audit:
    """Return the audit of some histories, whose scores are in a ``table`` that gets more columns.

    ``mean`` [N] is the suspicion over all seeds, NaN for examples that are not judged; ``kinds`` is
    what planted flips say. Without held-out examples there is no onset.
    """
    labels = table["label"].to_numpy(copy=True)
    # The table has float32: all later estimates see the same ranking.
    mean = mean.astype(np.float32).astype(np.float64)
    calibration = calibrated(mean, labels, None, kinds, precision)
    around = _around(dataset, labels, mean, seed)
    suggested, doubt = np.full(len(labels), -1), np.full(len(labels), "", object)
    believed, asked = None, np.zeros(len(labels), bool)
    if not histories[0].of_losses:
        suggested = table.pop("suggested").to_numpy(np.int64)
        believed = support(histories, suggested, stop=window if onset is None else onset.epoch)
        doubt = kinds_of_doubt(mean, labels, around.isolated, believed)
        asked = (mean > 0) | np.isin(np.arange(len(labels)), calibration.flagged)
    words = evidence(asked, labels, believed, around.isolated, around.conflicts, classes)
    unknown = np.full(len(table), np.nan, np.float32)
    columns: dict[str, NDArray[Any] | pd.Series[Any]] = {
        "suspicion": mean.astype(np.float32),
        "p_wrong": unknown,
        "flagged": np.zeros(len(table), bool),
        "suggested": suggested,
        "verdict": doubt,
        "doubt": doubt,
        "reviewed": np.full(len(table), "", object),
        "evidence": words,
        "conflicts_with": around.conflicts,
    }
    for at, (column, values) in enumerate(columns.items(), 1):
        table.insert(at, column, values)
    if "suggested_probability" in table:
        at = list(table).index("suggested") + 1
        table.insert(at, "suggested_probability", table.pop("suggested_probability"))
    for column, origin in _origin(dataset).items():
        table.insert(0, column, origin)
    for column, values in (further or {}).items():
        table[column] = values
    epochs = min(history.epochs for history in histories)
    gaps = np.stack([history.gaps[:epochs] for history in histories])
    return Audit(
        name=name,
        classes=classes,
        table=judged(table, calibration),
        onset=onset,
        calibration=calibration,
        window=window,
        epochs=epochs,
        seeds=len(histories),
        gaps=gaps,
        notes=remarks(labels, classes, histories, gaps, onset),
        facts=facts or {},
        dataset=dataset,
    )


def _origin(dataset: Dataset | None) -> dict[str, list[Any]]:
    """Return where each example comes from: its file or its row in the source, if these differ."""
    prepared = None if dataset is None else dataset.prepared
    if prepared is None:
        return {}
    origin = {"row": prepared.numbers, "file": prepared.files}
    return {column: values for column, values in origin.items() if values is not None}


def judged(table: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Return the table with the columns that follow from a calibration."""
    flagged = np.zeros(len(table), bool)
    flagged[calibration.flagged] = True
    doubt = table["doubt"].to_numpy(object, copy=True)
    reviewed = np.full(len(table), "", object)
    if calibration.reviews is not None:
        reviewed[calibration.reviews.ids] = calibration.reviews.verdicts
        doubt[reviewed == WRONG] = "mislabelled"
    suspicion = table["suspicion"].to_numpy(np.float64)
    return table.assign(
        p_wrong=calibration.p_wrong.astype(np.float32),
        flagged=flagged,
        verdict=verdicts(doubt, suspicion, flagged, calibration.p_wrong),
        reviewed=reviewed,
    )


def _around(
    dataset: Dataset | None,
    labels: Ids,
    mean: NDArray[np.float64],
    seed: int,
) -> Neighbours:
    if dataset is None:
        return Neighbours(np.full(len(labels), -1), np.zeros(len(labels), bool))
    if len(dataset) != len(labels):
        raise InputError(
            f"the data set has {len(dataset)} examples, and the runs had {len(labels)}: give the "
            "data set that was trained on, in its order"
        )
    around = find_neighbours(dataset.x.cpu(), labels, ranking_of(mean), seed=seed)
    if dataset.kind == "text":
        # Texts without a known n-gram have the same inputs, and are no duplicates.
        around.conflicts[~dataset.x.cpu().any(1).numpy()] = -1
    return around


def _onset(
    held_out: Tracker | History | Sequence[Tracker | History], runs: int, seed: int
) -> Onset | None:
    """Return the onset by trackers of held-out examples, one per run; None without any."""
    given = [held_out] if isinstance(held_out, Tracker | History) else list(held_out)
    if not given:
        return None
    histories = checked([one.history() if isinstance(one, Tracker) else one for one in given])
    if len(given) != runs:
        raise InputError(f"held_out must be one tracker per run: {runs}, got {len(given)}")
    if any(history.of_losses or history.gaps.any() for history in histories):
        raise InputError("held_out must have logits of every held-out example in every epoch")
    ids = np.tile(np.arange(len(histories[0])), (runs, 1))
    return find_onset(histories, ids, seed=seed)


def _examples(dataset: IndexedDataset, n_classes: int) -> Dataset | None:
    """Return the examples with their own labels, if all are in memory."""
    tensors = dataset.dataset.tensors if isinstance(dataset.dataset, TensorDataset) else ()
    if dataset.examples is not None or not tensors or not tensors[0].is_floating_point():
        return dataset.examples
    x = tensors[0].detach().cpu().float()
    y, none = torch.full((len(x),), -1), torch.zeros(len(x), dtype=torch.bool)
    if len(tensors) > 1 and tensors[-1].ndim == 1 and not tensors[-1].is_floating_point():
        y = tensors[-1].detach().cpu().long()
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 1.0)
    prepared = Preparation(kind_of(x.shape[1:]), shown_range=(low, high))
    names = tuple(str(k) for k in range(n_classes or int(y.max()) + 1))
    return Dataset("training data", x, y, names, y, none, none, prepared=prepared)


def _targets(dataset: IndexedDataset) -> dict[str, NDArray[Any]]:
    """Return the targets that were trained on as a column, if these are real numbers in memory."""
    tensors = dataset.dataset.tensors if isinstance(dataset.dataset, TensorDataset) else ()
    if len(tensors) < 2 or not tensors[-1].is_floating_point():
        return {}
    targets = targets_of(dataset.dataset) if dataset.planted is None else dataset.planted.labels
    return {"target": targets.reshape(-1)} if targets.size == len(dataset) else {}


def _labels_beside_losses(dataset: Dataset | None, planted: Planted | None, examples: int) -> Ids:
    """Return the labels of a training that was tracked by losses; -1 where there are none."""
    if planted is not None and planted.labels.ndim == 1 and planted.labels.dtype.kind in "iu":
        labels = planted.labels
    elif dataset is not None:
        labels = dataset.y.cpu().numpy()
    else:
        labels = np.full(examples, -1)
    if len(labels) != examples:
        raise InputError(f"the data set has {len(labels)} examples, and the runs had {examples}")
    return labels.astype(np.int64)


def _class_names(
    count: int, classes: Sequence[str] | None, dataset: Dataset | None
) -> tuple[str, ...]:
    """Return the names of classes; of losses (no ``count``), those that data or labels have."""
    if classes is None:
        classes = dataset.classes if dataset is not None else [str(k) for k in range(count)]
    if count and len(classes) != count:
        raise InputError(f"classes must be {count} names, one per output, got {len(classes)}")
    return tuple(classes)

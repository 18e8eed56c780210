"""What an audit measured, and what a reader should know of it first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.calibration import Calibration
from byheart.auditing.groups import FEWEST
from byheart.auditing.onset import Onset
from byheart.auditing.planting import Ids
from byheart.auditing.scores import ranked
from byheart.data.dataset import Dataset
from byheart.report.numbers import counted
from byheart.statistics.estimate import Estimate

FEW_WRONG = 0.05
"""An interval that ends below this share of labels needs no advice to train longer."""


@dataclass(frozen=True)
class Alert:
    """A sentence that a reader should see first.

    Attributes:
        kind: "warning" asks for an action, "good" says that all is well, "note" explains.
        text: the sentence, without its full stop.
    """

    kind: Literal["warning", "good", "note"]
    text: str


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit measured.

    Attributes:
        name: name of the data set.
        classes: name of each class.
        table: one row per example, by ``id``: ``label``, ``suspicion`` (higher = more suspect),
            ``p_wrong`` (probability that the label is wrong; NaN without planted flips),
            ``flagged``, ``suggested`` (the likeliest other label), ``verdict`` ("mislabelled",
            "rare", "ambiguous" or "typical"), ``evidence`` (in words), ``conflicts_with`` (id of a
            near-duplicate with another label, or -1), and one column per score.
        onset: when memorization sets in; None if no examples were held out.
        calibration: precision and recall of the ranking; None if too few flips were planted.
        window: suspicion is averaged over the first ``window`` epochs.
        epochs: epochs per run.
        seeds: number of runs.
        gaps: [seeds, epochs] how many examples each epoch did not see with the user's label.
        notes: remarks about these data and runs, one sentence each.
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
        """The rows of the flagged examples, the likeliest to be wrong first."""
        return self.table.loc[[] if self.calibration is None else self.calibration.listed]

    @property
    def ranking(self) -> Ids:
        """Ids of all examples that have a score, the likeliest to be wrong first.

        Ranked by ``p_wrong``, which knows that some kinds of label are wrong more often than
        others; ties, and audits without planted flips, are ranked by ``suspicion``.
        """
        return ranked(self.table)

    @property
    def conflicts(self) -> list[tuple[int, int]]:
        """Pairs of near-duplicates with different labels, the most suspect pair first."""
        twins = self.table["conflicts_with"].to_numpy(np.int64)
        suspicion = self.table["suspicion"].fillna(-np.inf).to_numpy(np.float64)
        have_twin = np.flatnonzero(twins >= 0)
        both = zip(have_twin.tolist(), twins[have_twin].tolist(), strict=True)
        pairs = {(min(pair), max(pair)) for pair in both}
        return sorted(pairs, key=lambda pair: (-max(suspicion[list(pair)]), pair))

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What to read first: warnings, then good news, then notes."""
        alerts = [*self._label_alerts(), *self._conflict_alerts(), *self._onset_alerts()]
        alerts += [Alert("note", note) for note in self.notes]
        order = ("warning", "good", "note")
        return tuple(sorted(alerts, key=lambda alert: order.index(alert.kind)))

    def _label_alerts(self) -> Iterator[Alert]:
        calibration, examples = self.calibration, len(self.table)
        if calibration is None:
            return
        total = f"Estimated wrong labels in all: {_count(calibration.mislabelled)} of {examples:,}"
        assumed = "This assumes that the data's own mistakes resemble the planted flips"
        if calibration.flagged:
            yield Alert("warning", f"{_flagged(calibration, examples)}. {total}. {assumed}")
            return
        none = f"No example is flagged: no list reaches a precision of {calibration.wanted:.0%}"
        # Never good news: mistakes that no planted flip resembles are not counted.
        is_narrow = calibration.mislabelled.high <= FEW_WRONG * examples
        advice = "" if is_narrow else ". Train longer, or with more seeds, for a narrower interval"
        yield Alert("note", f"{none}. {total}. {assumed}{advice}")

    def _conflict_alerts(self) -> Iterator[Alert]:
        pairs = len(self.conflicts)
        if pairs:
            have = "has" if pairs == 1 else "have"
            yield Alert(
                "warning", f"{counted(pairs, 'pair')} of near-duplicates {have} different labels"
            )

    def _onset_alerts(self) -> Iterator[Alert]:
        onset = self.onset
        if onset is None:
            return
        ends = f"[{onset.low}, {onset.high}]"
        if onset.reached:
            gain, low, high = (100 * x for x in (onset.gain, onset.gain_low, onset.gain_high))
            yield Alert(
                "warning",
                f"Memorization sets in at epoch {onset.epoch} {ends} of {self.epochs}: from there "
                "on, accuracy on held-out examples falls. Stopping there gains "
                f"{gain:.1f} points [{low:.1f}, {high:.1f}]",
            )
        else:
            yield Alert(
                "good",
                f"Accuracy on held-out examples is highest at epoch {onset.epoch} {ends} of "
                f"{self.epochs}",
            )


def _flagged(calibration: Calibration, examples: int) -> str:
    is_flagged = "is" if calibration.flagged == 1 else "are"
    return (
        f"{calibration.flagged:,} of {examples:,} labels {is_flagged} flagged as wrong. Estimated "
        f"precision of this list: {_share(calibration.precision)}. Estimated recall: "
        f"{_share(calibration.recall)} of all wrong labels"
    )


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _count(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"


def remarks(
    labels: Ids,
    classes: Sequence[str],
    gaps: NDArray[np.int64],
    onset: Onset | None,
    *,
    flips: int,
    calibrated: bool,
) -> tuple[str, ...]:
    """Return what a reader should know of the data and the runs, one sentence each.

    ``gaps`` [S, E] are the examples that each seed and epoch did not see, ``flips`` the planted
    ones over all seeds.
    """
    notes = []
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        notes.append(f"Classes without examples: {', '.join(empty)}")
    unseen = int((labels < 0).sum())
    if unseen:
        notes.append(f"{counted(unseen, 'example')} never seen, without a score")
    incomplete = int((gaps > unseen).sum())
    # Runs with held-out examples are the audit's own, whose gaps are planned.
    if incomplete and onset is None:
        notes.append(
            f"{counted(incomplete, 'epoch')}, over all seeds, did not see every example; scores "
            "leave these gaps out"
        )
    if not calibrated:
        notes.append(_uncalibrated(flips))
    if onset is not None and not onset.reached:
        notes.append(
            "Accuracy on held-out examples does not fall by more than chance within these epochs, "
            "so memorization has cost no accuracy yet"
        )
    return tuple(notes)


def _uncalibrated(flips: int) -> str:
    unknown = "precision and recall are unknown, and nothing is flagged"
    if not flips:
        return f"No flips were planted: {unknown}"
    planted = "1 flip was planted" if flips == 1 else f"{flips} flips were planted"
    if flips >= FEWEST:
        return (
            f"{planted}, but they hardly look more suspect than the user's labels: {unknown}. "
            "Train until the network has learned something, or check whether most labels are wrong"
        )
    return (
        f"{planted}, over all seeds, which is too few: {unknown}. Plant {FEWEST} or more: raise "
        "the share of planted labels, the number of seeds or the number of examples"
    )

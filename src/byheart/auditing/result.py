"""What an audit measured, and what a reader should know of it first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.calibration import Calibration
from byheart.auditing.history import History
from byheart.auditing.onset import Onset
from byheart.auditing.planting import KINDS, Ids
from byheart.auditing.reviews import UNSURE
from byheart.auditing.scores import ranked
from byheart.data.dataset import Dataset
from byheart.report.numbers import counted
from byheart.statistics.estimate import Estimate

NAMED = 5
"""Classes that an alert names."""
ERRING = 0.05
"""Share of wrong verdicts whose effect is stated."""


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
            ``p_wrong`` (probability that the label is wrong; NaN without reviews), ``flagged`` (on
            the list), ``suggested`` (the likeliest other label), ``verdict`` ("mislabelled",
            "rare", "ambiguous" or "typical"), ``doubt`` (the verdict if it were flagged),
            ``reviewed`` (what reviewers said, or ""), ``evidence`` (in words), ``conflicts_with``
            (id of a near-duplicate with another label, or -1), and one column per score.
        onset: when memorization sets in; None if no examples were held out.
        calibration: how many labels are wrong, the list, and its precision and recall.
        window: suspicion is averaged over the first ``window`` epochs.
        epochs: epochs per run.
        seeds: number of runs.
        gaps: [seeds, epochs] how many examples each epoch did not see with the user's label.
        notes: remarks about these data and runs, one sentence each.
        facts: what trained, by name: the network, the recipe. Empty for a user's own training.
        dataset: the examples, if they are at hand; the page shows them.
    """

    name: str
    classes: tuple[str, ...]
    table: pd.DataFrame
    onset: Onset | None
    calibration: Calibration
    window: int
    epochs: int
    seeds: int
    gaps: NDArray[np.int64]
    notes: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    dataset: Dataset | None = None

    @property
    def of_losses(self) -> bool:
        """Whether the runs were tracked by a loss of their own, without margins and classes."""
        return "loss_variability" in self.table

    @property
    def flagged(self) -> pd.DataFrame:
        """The rows of the flagged examples, the likeliest to be wrong first."""
        return self.table.loc[self.calibration.flagged]

    @property
    def ranking(self) -> Ids:
        """Ids of all examples that have a score, the likeliest to be wrong first.

        Ranked by ``p_wrong``, if there are reviews; ties are ranked by ``suspicion``.
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
        length = counted(len(calibration.flagged), "example")
        if calibration.reviews is None:
            yield Alert(
                "warning",
                "How many labels are wrong is unknown: review 20 examples to know, 100 for an "
                f"interval about 10 points wide. The list has the {length} with the most suspect "
                "labels; its precision is unknown",
            )
            if len(calibration.kinds):
                yield Alert("note", _bounded(calibration, examples))
            return
        reviews = counted(len(calibration.reviews.ids), "reviewed example")
        yield Alert(
            "warning",
            f"Estimated wrong labels: {_count(calibration.mislabelled)} of {examples:,}, from "
            f"{reviews}",
        )
        wanted, level = f"{calibration.wanted:.0%}", f"{calibration.level:.0%}"
        assured = (
            f"At least {wanted} of the {length} on the list have a wrong label, with {level} "
            "confidence"
            if calibration.assured
            else f"No list has a precision of {wanted} with {level} confidence. The list has "
            f"{length}"
        )
        yield Alert(
            "warning",
            f"{assured}. {_stated('precision', calibration.precision)}. "
            f"{_stated('recall', calibration.recall)} of all wrong labels",
        )
        yield from (Alert("note", text) for text in _about_reviews(calibration))

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
        if onset.never:
            named = ", ".join(f"'{self.classes[k]}'" for k in onset.never[:NAMED])
            more = len(onset.never) - NAMED
            others = f" and {more} more classes" if more > 0 else ""
            yield Alert(
                "warning",
                f"The networks never recognise a held-out example of {named}{others}: the ranking "
                "cannot judge these labels. Train for more epochs or with a higher learning rate",
            )
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


def _bounded(calibration: Calibration, examples: int) -> str:
    """Return the sentence on what planted flips bound."""
    table = calibration.kinds
    shares = ", ".join(
        f"{share:.0%} if mistakes are {_LIKE[str(kind)]}"
        for kind, share in table["most_wrong"].items()
    )
    flips = counted(int(table["flips"].sum()), "planted flip")
    text = f"By {flips}, at most this share of labels is wrong: {shares}"
    if not set(KINDS) <= set(table.index):
        return f"{text}. Mistakes of people may be harder to find: review some to know the number"
    if np.isnan(calibration.mislabelled.high):
        return f"{text}. This range is too wide to tell the number: review some examples"
    return f"{text}. So at most {calibration.mislabelled.high:,.0f} of {examples:,} labels"


_LIKE = {
    "uniform": "random",
    "confused": "between confused classes",
    "ambiguous": "on ambiguous examples",
}


def _about_reviews(calibration: Calibration) -> Iterator[str]:
    """Yield what a reader should know of the reviews, one sentence each."""
    reviews = calibration.reviews
    assert reviews is not None
    unsure = reviews.count(UNSURE)
    if unsure:
        yield (
            f"Reviewers were unsure of, or disagree on, {counted(unsure, 'example')}: intervals "
            "span both verdicts"
        )
    if reviews.compared:
        yield (
            f"Reviewers disagree on {reviews.disagreements:,} of "
            f"{counted(reviews.compared, 'example')} with two verdicts or more"
        )
    yield (
        f"If {ERRING:.0%} of all verdicts were wrong, the estimate would be "
        f"{_count(calibration.if_reviewers_err(ERRING))} wrong labels"
    )
    yield (
        f"{counted(calibration.further, 'more review')} would halve these intervals. The review "
        "on the page continues with them"
    )


def _stated(name: str, estimate: Estimate) -> str:
    """Return the words for a share: an estimate, or only its interval where that is too wide."""
    if estimate.low < estimate.value / 2:
        ends = f"between {estimate.low:.0%} and {estimate.high:.0%}"
        return f"The {name} is unknown without more reviews: {ends}"
    ends = f"[{estimate.low:.0%}, {estimate.high:.0%}]"
    return f"Estimated {name}: {estimate.value:.0%} {ends}"


def _count(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"


def remarks(
    labels: Ids,
    classes: Sequence[str],
    histories: Sequence[History],
    gaps: NDArray[np.int64],
    onset: Onset | None,
) -> tuple[str, ...]:
    """Return what a reader should know of the data and the runs, one sentence each.

    ``gaps`` [S, E] are the examples that each seed and epoch did not see.
    """
    notes = []
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        notes.append(f"Classes without examples: {', '.join(empty)}")
    unseen = int((np.max([history.labels for history in histories], axis=0) < 0).sum())
    if unseen:
        notes.append(f"{counted(unseen, 'example')} never seen, without a score")
    incomplete = int((gaps > unseen).sum())
    # Runs with held-out examples are the audit's own, whose gaps are planned.
    if incomplete and onset is None:
        notes.append(
            f"{counted(incomplete, 'epoch')}, over all seeds, did not see every example; scores "
            "leave these gaps out"
        )
    not_finite = sum(int(history.not_finite.sum()) for history in histories)
    if not_finite:
        notes.append(
            f"{counted(not_finite, 'prediction')} were infinite or NaN, which is usual under mixed "
            "precision if they are few; scores leave them out"
        )
    if onset is not None and not onset.reached:
        notes.append(
            "Accuracy on held-out examples does not fall by more than chance within these epochs, "
            "so memorization has cost no accuracy yet"
        )
    return tuple(notes)

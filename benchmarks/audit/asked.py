"""What the audit was asked to show, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.audit.cases import AUDITS, DATA_SETS, ONSET_RATES, ONSETS
from benchmarks.audit.compared import Interval, beyond_cleanlab, lines
from benchmarks.audit.figure import NAMES, TRAINED
from benchmarks.audit.held import covered, stopped
from benchmarks.audit.rows import Row

MOST_OF_CLEANLAB, COVERAGE, POINTS = 0.6, 0.85, 1.0
NOISIEST = 0.4


@dataclass(frozen=True)
class Answer:
    """One thing that was asked for.

    Attributes:
        asked: in words.
        came_to: the figures.
        holds: whether they reach it; None until all data sets were measured.
    """

    asked: str
    came_to: str
    holds: bool | None


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Return what was asked for and what it came to, from the rows."""
    return [*_ranking(rows), *_noisiest(rows), *_precision(rows), *_onset(rows)]


def _ranking(rows: Sequence[Row]) -> Iterator[Answer]:
    for source, momentum, name in _trained(rows):
        some = [line for line in lines(rows) if line.kind[:2] == (source, momentum)]
        gains = [line.ahead["auroc"] for line in some if line.ahead is not None]
        better, worse = sum(one.low > 0 for one in gains), sum(one.high < 0 for one in gains)
        yield Answer(
            f"{name}: no ranking of a peer has a higher AUROC, at any noise",
            f"byheart is better in {better} of {len(gains)} comparisons and worse in {worse}, by "
            f"intervals; in {len(gains) - better - worse} they include 0",
            worse == 0 if all(line.seeds == DATA_SETS for line in some) else None,
        )


def _noisiest(rows: Sequence[Row]) -> Iterator[Answer]:
    found, seeds = beyond_cleanlab(rows), {line.kind: line.seeds for line in lines(rows)}
    for source, momentum, name in _trained(rows):
        kind = (source, momentum, NOISIEST, False)
        if kind in found:
            one = found[kind]
            yield Answer(
                f"{name}: with {NOISIEST:.0%} of labels drawn anew, 1 - AUROC is at most "
                f"{MOST_OF_CLEANLAB:g} of that of cleanlab at its best",
                one.words("{:.2f}".format),
                one.value <= MOST_OF_CLEANLAB if seeds[kind] == DATA_SETS else None,
            )


def _trained(rows: Sequence[Row]) -> Iterator[tuple[str, float, str]]:
    """Yield the sources and momenta that were measured, and their name."""
    for source, momentum in dict.fromkeys(line.kind[:2] for line in lines(rows)):
        yield source, momentum, f"{NAMES[source]}, {TRAINED[momentum]}"


def _precision(rows: Sequence[Row]) -> Iterator[Answer]:
    for source, name in NAMES.items():
        asked = (
            f"{name}: the true precision is in its 90% interval in {COVERAGE:.0%} of audits or more"
        )
        audits = [row for row in rows if (row["part"], row["source"]) == ("calibration", source)]
        one = covered(audits, "precision")
        if one is None:
            yield Answer(asked, "not measured yet", None)
            continue
        share = Interval(one.hits / one.audits, one.low, one.high)
        words = f"{one.hits} of {one.audits}: {share.words('{:.0%}'.format)}"
        whole = len(audits) == AUDITS[source]
        yield Answer(asked, words, share.value >= COVERAGE if whole else None)


def _onset(rows: Sequence[Row]) -> Iterator[Answer]:
    found = stopped([row for row in rows if row["part"] == "onset"])
    for source, name in NAMES.items():
        own = [one for one in found if one.source == source]
        whole = [one.rate for one in own if one.seeds == ONSETS] == list(ONSET_RATES)
        each = [f"{one.rate:.0%}: {one.lost.words('{:.2f}'.format)}" for one in own]
        yield Answer(
            f"{name}: stopping at the onset loses at most {POINTS:g} point of accuracy by true "
            "labels, against the best epoch in hindsight",
            "; ".join(each) or "not measured yet",
            all(one.lost.value <= POINTS for one in own) if whole else None,
        )

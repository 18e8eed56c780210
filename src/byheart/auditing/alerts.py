"""What an audit found in plain words: the first thing to read, in a terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from byheart.auditing.calibration import Calibration, Estimate
from byheart.auditing.onset import Onset
from byheart.report.audit.facts import Alert
from byheart.report.audit.selection import conflicting
from byheart.report.numbers import counted

if TYPE_CHECKING:
    from byheart.auditing.result import Audit


SURE = 0.05
"""Share of wrong labels that must be out of the question before a data set is called well."""


def alerts(audit: Audit) -> tuple[Alert, ...]:
    """Return what to know first, what to act on before remarks."""
    found = [*_labels(audit), *_conflicts(audit), *_onset(audit.onset, audit.epochs)]
    found += [Alert("note", note) for note in audit.notes]
    order = ("warning", "good", "note")
    return tuple(sorted(found, key=lambda one: order.index(one.kind)))


def _labels(audit: Audit) -> Iterator[Alert]:
    calibration, examples = audit.calibration, len(audit.table)
    if calibration is None:
        return
    total = (
        f"In all, an estimated {_count(calibration.mislabelled)} of {examples:,} labels are wrong"
    )
    if calibration.flagged:
        yield Alert("warning", f"{_flagged(calibration, examples)}. {total}")
        return
    none = f"No list could be made of which {calibration.wanted:.0%} are wrong: none is flagged"
    if calibration.mislabelled.high <= SURE * examples:
        yield Alert("good", f"{none}. {total}")
    else:
        yield Alert("note", f"{none}. {total}: that tells little; train longer, or with more seeds")


def _flagged(calibration: Calibration, examples: int) -> str:
    look = "looks" if calibration.flagged == 1 else "look"
    return (
        f"{calibration.flagged:,} of {examples:,} labels {look} wrong: of this list "
        f"{_share(calibration.precision)} probably are, and it holds "
        f"{_share(calibration.recall)} of all wrong labels"
    )


def _conflicts(audit: Audit) -> Iterator[Alert]:
    pairs = len(conflicting(audit.table))
    if pairs:
        what = "examples is" if pairs == 1 else "examples are"
        yield Alert(
            "warning", f"{counted(pairs, 'pair')} of {what} nearly the same, labelled differently"
        )


def _onset(onset: Onset | None, epochs: int) -> Iterator[Alert]:
    if onset is None:
        return
    ends = f"[{onset.low}, {onset.high}]"
    if onset.reached:
        gain, low, high = (100 * one for one in (onset.gain, onset.gain_low, onset.gain_high))
        yield Alert(
            "warning",
            f"Memorization sets in at epoch {onset.epoch} {ends} of {epochs}: from there on, "
            "accuracy on held-out examples falls. Stopping there gains "
            f"{gain:.1f} points [{low:.1f}, {high:.1f}]",
        )
    else:
        yield Alert(
            "good",
            f"Accuracy on held-out examples is highest at epoch {onset.epoch} {ends} of {epochs}",
        )


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _count(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"

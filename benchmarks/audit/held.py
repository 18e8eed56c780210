"""From rows to what calibration and onset came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.audit.compared import Interval, interval
from benchmarks.audit.rows import Row

STATED = ("precision", "recall", "mislabelled")


@dataclass(frozen=True)
class Covered:
    """How often a stated interval held the truth.

    Attributes:
        hits: audits whose interval did.
        audits: that stated one.
        low: lower end of the 95% interval of the share (Wilson).
        high: its upper end.
        width: mean of the stated intervals.
        true: mean of the true values.
        said: mean of the estimates.
    """

    hits: int
    audits: int
    low: float
    high: float
    width: float
    true: float
    said: float


def covered(rows: Sequence[Row], name: str) -> Covered | None:
    """Return how often the stated interval of ``name`` held the truth; None where none was stated.

    Args:
        rows: of the part "calibration".
        name: one of :data:`STATED`. A list of no examples has no precision.
    """
    found = [row["found"][name] for row in rows if row["found"][name]["true"] is not None]
    if not found:
        return None
    hits = sum(one["low"] <= one["true"] <= one["high"] for one in found)
    ends = stats.binomtest(hits, len(found)).proportion_ci(method="wilson")
    return Covered(
        hits,
        len(found),
        float(ends.low),
        float(ends.high),
        float(np.mean([one["high"] - one["low"] for one in found])),
        float(np.mean([one["true"] for one in found])),
        float(np.mean([one["said"] for one in found])),
    )


@dataclass(frozen=True)
class Stopped:
    """What stopping at the onset cost, in points of accuracy by true labels.

    Attributes:
        source: of the examples.
        rate: share of labels that were drawn anew.
        seeds: how many data sets.
        lost: against the best epoch in hindsight, by the validation examples that it is chosen by.
        apart: the same by half of the validation examples, against the epoch that is best on the
            other half: without the luck of the best.
        gained: against training to the end.
        held: data sets in which the onset's interval holds the best epoch.
    """

    source: str
    rate: float
    seeds: int
    lost: Interval
    apart: Interval
    gained: Interval
    held: int


def stopped(rows: Sequence[Row]) -> list[Stopped]:
    """Return what stopping cost, by source and rate, of rows of the part "onset"."""
    found = []
    for source, rate in dict.fromkeys((row["source"], row["rate"]) for row in rows):
        some = [row["found"] for row in rows if (row["source"], row["rate"]) == (source, rate)]
        each = np.array([_points(one) for one in some])
        lost, apart, gained = (
            interval(100 * each[:, k], f"onset {source} {rate} {k}") for k in range(3)
        )
        held = int(each[:, 3].sum())
        found.append(Stopped(source, rate, len(some), lost, apart, gained, held))
    return found


def _points(found: Row) -> tuple[float, float, float, bool]:
    """Return what was lost, lost apart and gained, and whether the interval holds the best."""
    first, second = np.array(found["first half"]), np.array(found["second half"])
    both, at = (first + second) / 2, found["epoch"] - 1
    apart = (second[first.argmax()] - second[at] + first[second.argmax()] - first[at]) / 2
    held = found["low"] <= both.argmax() + 1 <= found["high"]
    return both.max() - both[at], apart, both[at] - both[-1], held

"""The chart of the bench of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from benchmarks.audit.compared import Line
from byheart.charts.figure import Axis, Figure, Point

NAMES = {"mnist": "MNIST", "digits": "digits"}
TRAINED = {0.9: "with momentum", 0.0: "without momentum"}
DRAWN = {
    "byheart": "byheart",
    "AUM": "AUM",
    "cumulative loss": "cumulative loss",
    "cleanlab self-confidence, best epoch": "self-confidence, best epoch",
    "cleanlab normalized margin, best epoch": "normalized margin, best epoch",
    "second-split forgetting": "second-split forgetting",
}
"""Rankings that the chart shows, and their names there; all are in the tables."""


def figure(lines: Sequence[Line]) -> Figure:
    """Return how often each ranking is mistaken, by rate of symmetric noise."""
    points = []
    for line in lines:
        source, momentum, rate, pairs = line.kind
        if not pairs and line.ranking in DRAWN:
            area = line.means["auroc"]
            points.append(
                Point(
                    f"{NAMES[source]}, {TRAINED[momentum]}",
                    DRAWN[line.ranking],
                    100 * rate,
                    1 - area.value,
                    None if isnan(area.low) else 1 - area.high,
                    None if isnan(area.low) else 1 - area.low,
                )
            )
    return Figure(
        id="bench-audit",
        title="How often a ranking takes a right label for more suspect than a wrong one",
        source="",
        reading="The lower, the better; bands are 95% intervals of means over data sets.",
        x=Axis("labels drawn anew, %", log=True),
        y=Axis("1 - AUROC", log=True),
        series=tuple(dict.fromkeys(point.series for point in points)),
        points=tuple(points),
    )

"""The charts of an audit, as plain data; the report draws them."""

from __future__ import annotations

from byheart.auditing.calibration import Calibration
from byheart.auditing.onset import Onset
from byheart.charts.figure import Axis, Figure, Point, Span


def onset_figure(onset: Onset) -> Figure:
    """Return accuracy on held-out examples by epoch, with the onset and its interval."""
    series = "held-out examples"
    points = (Point("", series, e, float(a)) for e, a in enumerate(onset.accuracy, 1))
    after = (
        "after that, what is learned of the training examples no longer holds for others"
        if onset.reached
        else "afterwards it does not clearly fall"
    )
    where = f"epoch {onset.epoch}, {onset.level:.0%} interval [{onset.low}, {onset.high}]"
    return Figure(
        id="onset",
        title="Accuracy on held-out examples",
        source="",
        reading="Share of the examples held out of a training which it classifies as labelled, "
        f"mean over trainings. Smoothed, it is highest at {where}, where the line stands; {after}.",
        x=Axis("epochs trained"),
        y=Axis("accuracy by the labels at hand", percent=True),
        series=(series,),
        points=tuple(points),
        level=onset.level,
        span=Span(onset.epoch, onset.low, onset.high),
    )


def belief_figure(calibration: Calibration) -> Figure:
    """Return estimated precision and recall of lists of any length, with their intervals."""
    points = [
        Point("", name, float(length), row[name], row[f"{name}_low"], row[f"{name}_high"])
        for name in ("precision", "recall")
        for length, row in zip(
            calibration.curve.index, calibration.curve.to_dict("records"), strict=True
        )
    ]
    flagged = calibration.flagged
    mark = f" The line marks the {flagged:,} that are flagged." if flagged else ""
    return Figure(
        id="belief",
        title="Precision and recall of the list",
        source="",
        reading="Of a list of the most suspect examples: the share whose labels are wrong "
        "(precision), and the share of all wrong labels that it holds (recall), estimated from "
        f"{calibration.planted:,} planted flips, with {calibration.level:.0%} intervals.{mark}",
        x=Axis("length of the list", log=True),
        y=Axis("share", percent=True),
        series=("precision", "recall"),
        points=tuple(points),
        marks=False,
        level=calibration.level,
        span=Span(flagged, flagged, flagged) if flagged else None,
    )

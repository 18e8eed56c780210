"""The page of an audit: one HTML file that needs no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from byheart.auditing.calibration import Calibration
from byheart.auditing.cards import COLUMN_OF_LOSSES, COLUMNS, Card, cards, class_name, with_names
from byheart.auditing.onset import Onset
from byheart.auditing.planting import Ids
from byheart.auditing.result import AuditResult
from byheart.auditing.review_view import review_view
from byheart.charts.drawn import draw
from byheart.charts.example_map import VERDICTS, draw_map
from byheart.charts.figure import Axis, Figure, Point, Span
from byheart.errors import InputError
from byheart.report.frame import frame_csv, render_page
from byheart.seeds import generator

GALLERY = 200
"""Flagged examples that have a card."""
OTHERS = 400
"""Further examples on the map that have a card: the next most suspect, and as many at random."""
PAIRS = 60
"""Pairs of near-duplicates that are shown."""
FIRST = 24
"""Cards that are visible before a reader asks for all."""
CLASSES = 40
"""Classes whose number of wrong labels is shown."""
CONFUSIONS = 10
"""Pairs of a label and a suggested label that are listed."""


def select(audit: AuditResult) -> tuple[Ids, Ids]:
    """Return the examples that the page shows: with a picture of every one it would not open.

    First come the flagged examples in the gallery, then further examples on the map.
    """
    ranking = audit.ranking
    gallery = audit.flagged.index.to_numpy(np.int64)[:GALLERY]
    rest = ranking[~np.isin(ranking, gallery)]
    near, far = rest[: OTHERS // 2], rest[OTHERS // 2 :]
    drawn = generator("map", 0).permutation(len(far))[: OTHERS - len(near)]
    return gallery, np.concatenate([near, np.sort(far[drawn])])


def render(
    audit: AuditResult,
    *,
    texts: Sequence[str] | None = None,
    about: Mapping[str, str] | None = None,
) -> str:
    """Return the page as HTML: without clock and host name, so equal audits give equal bytes.

    Each of ``texts`` is shown instead of the input of its example; ``about`` are further facts.
    """
    if texts is not None and len(texts) != len(audit.table):
        raise InputError(
            f"texts must be one per example: {len(audit.table)}, got {len(texts)}; give them in "
            "the order of ids"
        )
    gallery, others = select(audit)
    examples_map = draw_map(audit.table, audit.classes, np.concatenate([gallery, others]))
    onset = draw(onset_figure(audit.onset)) if audit.onset else None
    lists = draw(lists_figure(audit.calibration)) if len(audit.calibration.curve) else None
    conflicts = audit.conflicts
    return render_page(
        "audit.html",
        with_charts=any((examples_map, onset, lists)),
        audit=audit,
        about={**audit.facts, **(about or {})},
        map=examples_map,
        onset=onset,
        belief=lists,
        by_class=_by_class(audit)[:CLASSES],
        classes_reviewed=len(audit.calibration.by_class),
        flagged=len(audit.flagged),
        gallery=cards(audit, gallery.tolist(), texts=texts, with_scores=True),
        others=cards(
            audit, others.tolist() if examples_map else [], texts=texts, with_scores=False
        ),
        conflicts=len(conflicts),
        pairs=_pairs(audit, conflicts[:PAIRS], texts),
        first=FIRST,
        review=review_view(audit, texts=texts),
        review_command=_review_command(about or {}),
        shares=_shares(audit.table),
        confusions=_confusions(audit),
        columns=[
            COLUMN_OF_LOSSES if audit.of_losses and column.name == "suspicion" else column
            for column in COLUMNS
            if column.name in audit.table and column.how
        ],
        list_csv=frame_csv(with_names(audit.flagged, audit.classes)),
    )


def _review_command(about: Mapping[str, str]) -> str:
    """Return what estimates all numbers from reviews.csv: a command, or a line of Python."""
    if "Command" in about:
        return f"{about['Command']} --reviews reviews.csv"
    return 'audit = audit.review("reviews.csv")'


def onset_figure(onset: Onset) -> Figure:
    """Return the figure of accuracy on held-out examples by epoch, with onset and interval."""
    series = "held-out examples"
    points = (Point("", series, e, float(a)) for e, a in enumerate(onset.accuracy, 1))
    after = (
        "After it, what the network learns of its training examples no longer helps on others"
        if onset.reached
        else "After it, accuracy does not clearly fall"
    )
    return Figure(
        id="onset",
        title="Accuracy on held-out examples",
        source="",
        reading="Share of held-out examples that the network classifies as labelled; all classes "
        "weigh the same. The line marks the highest smoothed accuracy: "
        f"epoch {onset.epoch}, {onset.level:.0%} interval [{onset.low}, {onset.high}]. {after}.",
        x=Axis("epoch"),
        y=Axis("accuracy on held-out examples", percent=True),
        series=(series,),
        points=tuple(points),
        level=onset.level,
        span=Span(onset.epoch, onset.low, onset.high),
    )


def lists_figure(calibration: Calibration) -> Figure:
    """Return the figure of estimated precision and recall of lists of any length."""
    points = [
        Point("", name, float(length), row[name], row[f"{name}_low"], row[f"{name}_high"])
        for name in ("precision", "recall")
        for length, row in zip(
            calibration.curve.index, calibration.curve.to_dict("records"), strict=True
        )
    ]
    return Figure(
        id="belief",
        title="Precision and recall of the list",
        source="",
        reading="Precision: the share of a list of the most suspect examples whose labels are "
        "wrong. Recall: the share of all wrong labels that the list holds. Both are estimated "
        f"from reviewed examples, with {calibration.level:.0%} intervals.",
        x=Axis("length of the list", log=True),
        y=Axis("share", percent=True),
        series=("precision", "recall"),
        points=tuple(points),
        marks=False,
        level=calibration.level,
    )


def _pairs(
    audit: AuditResult, pairs: Sequence[tuple[int, int]], texts: Sequence[str] | None
) -> list[tuple[Card, Card]]:
    ids = [i for pair in pairs for i in pair]
    both = cards(audit, ids, texts=texts, with_scores=False)
    return list(zip(both[::2], both[1::2], strict=True))


def _shares(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how many examples have each verdict, how many are flagged, and their P(correct)."""
    shares = []
    for verdict in VERDICTS:
        rows = table[table["verdict"] == verdict]
        known = "p_correct" in table and rows["p_correct"].notna().any()
        if len(rows):
            shares.append(
                {
                    "verdict": verdict,
                    "examples": len(rows),
                    "flagged": int(rows["flagged"].sum()),
                    "p_correct": float(np.nanmean(rows["p_correct"])) if known else None,
                }
            )
    return shares


def _by_class(audit: AuditResult) -> list[dict[str, Any]]:
    """Return the number of wrong labels of each class, the class with most of them first."""
    table = audit.calibration.by_class
    if not len(table):
        return []
    rows = table.sort_values("wrong", ascending=False, kind="stable").reset_index()
    rows["name"] = [class_name(audit.classes, label) for label in rows["label"].tolist()]
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _confusions(audit: AuditResult) -> list[tuple[str, str, int]]:
    """Return how often flagged examples have one label and look like another, most often first."""
    rows = audit.flagged[audit.flagged["suggested"] >= 0]
    counts = Counter(zip(rows["label"].tolist(), rows["suggested"].tolist(), strict=True))
    named = (
        (class_name(audit.classes, label), class_name(audit.classes, suggested), count)
        for (label, suggested), count in counts.items()
    )
    return sorted(named, key=lambda row: (-row[2], row[:2]))[:CONFUSIONS]

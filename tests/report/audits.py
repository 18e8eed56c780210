"""Made-up audits of the digits that ship with scikit-learn: all kinds of examples, none trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from byheart.charts.figure import Axis, Figure, Point, Span
from byheart.report.audit.facts import Alert, AuditFacts

CLASSES = tuple("0123456789")
KINDS = ("mislabelled", "ambiguous", "rare", "typical")


def inputs(examples: int) -> np.ndarray:
    """Return so many digits, [N, 8, 8]."""
    images = load_digits(return_X_y=True)[0] / 16
    return np.resize(images.reshape(-1, 8, 8), (examples, 8, 8)).astype(np.float32)


def table(examples: int = 300, *, share: float = 0.2, pairs: int = 3) -> pd.DataFrame:
    """Return a table in which a share of the examples is flagged, and some are in conflict."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, examples)
    suspicion = np.sort(rng.normal(-3, 2, examples))[::-1].astype(np.float32)
    flagged = np.arange(examples) < share * examples
    p_wrong = 1 / (1 + np.exp(-suspicion))
    twins = np.full(examples, -1)
    for one in range(pairs):
        twins[one], twins[examples - 1 - one] = examples - 1 - one, one
    kinds = np.where(flagged, np.resize(np.array(KINDS[:3]), examples), "typical")
    evidence = np.where(flagged, "before memorization '3' was believed to 81%, '5' to 4%", "")
    return pd.DataFrame(
        {
            "label": labels,
            "suspicion": suspicion,
            "p_wrong": p_wrong.astype(np.float32),
            "flagged": flagged,
            "suggested": (labels + 1) % 10,
            "suggested_probability": rng.random(examples).astype(np.float32),
            "verdict": kinds,
            "evidence": evidence,
            "conflicts_with": twins,
            "p_correct": (1 - p_wrong).astype(np.float32),
            "aum": -suspicion,
            "confidence": (1 - p_wrong).astype(np.float32),
            "variability": rng.uniform(0, 0.4, examples).astype(np.float32),
            "epochs_seen": np.full(examples, 80),
        },
        index=pd.RangeIndex(examples, name="id"),
    )


def onset() -> Figure:
    accuracy = (0.4, 0.6, 0.7, 0.78, 0.82, 0.84, 0.85, 0.84, 0.82, 0.81, 0.8, 0.79)
    points = tuple(Point("", "held-out examples", e, a) for e, a in enumerate(accuracy, 1))
    return Figure(
        id="onset",
        title="Accuracy on held-out examples",
        source="",
        reading="It is highest at epoch 7, 90% interval [6, 9], where the line stands.",
        x=Axis("epochs trained"),
        y=Axis("accuracy by the labels at hand", percent=True),
        series=("held-out examples",),
        points=points,
        level=0.9,
        span=Span(7, 6, 9),
    )


def belief() -> Figure:
    points = []
    for length in np.unique(np.geomspace(1, 300, 60).round()).tolist():
        precision, recall = 0.98 - length / 400, min(1.0, length / 90)
        points.append(Point("", "precision", length, precision, precision - 0.05, precision + 0.02))
        points.append(Point("", "recall", length, recall, recall * 0.9, min(1.0, recall * 1.1)))
    return Figure(
        id="belief",
        title="Precision and recall of the list",
        source="",
        reading="Of a list of the most suspect examples, with 90% intervals.",
        x=Axis("length of the list", log=True),
        y=Axis("share", percent=True),
        series=("precision", "recall"),
        points=tuple(points),
        marks=False,
        level=0.9,
        span=Span(60, 60, 60),
    )


ALERTS = (
    Alert("warning", "60 of 300 labels look wrong: of this list 90% [83%, 96%] probably are"),
    Alert("warning", "3 pairs of examples are nearly the same, labelled differently"),
    Alert("good", "accuracy on held-out examples is highest at epoch 7 [6, 9] of 12"),
    Alert("note", "classes without examples: 'eleven'"),
)


def audit_facts(**changes: Any) -> AuditFacts:
    """Return the facts of a made-up audit, some of them changed."""
    rows = changes.pop("table", None)
    rows = table() if rows is None else rows
    facts: dict[str, Any] = {
        "name": "digits",
        "classes": CLASSES,
        "seeds": 4,
        "epochs": 12,
        "alerts": ALERTS,
        "table": rows,
        "ranking": np.flatnonzero(rows["suspicion"].notna()),
        "listed": np.flatnonzero(rows["flagged"]),
        "onset": onset(),
        "belief": belief(),
        "inputs": inputs(len(rows)),
        "about": {"Network": "my.module:network", "Command": "byheart audit digits"},
        "version": "0.1.0",
    }
    return AuditFacts(**facts | changes)

"""Made-up audits of the digits that ship with scikit-learn: nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from byheart.auditing.audit import Audit
from byheart.auditing.calibration import Calibration, Estimates, calibrated
from byheart.auditing.isotonic import strata_of
from byheart.auditing.onset import Onset
from byheart.auditing.planting import NO_BOUNDS
from byheart.auditing.reviews import Reviews
from byheart.data.dataset import Dataset
from byheart.statistics.estimate import Estimate

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
    for i in range(pairs):
        twins[i], twins[examples - 1 - i] = examples - 1 - i, i
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
            "doubt": np.resize(np.array(KINDS[:3]), examples),
            "reviewed": "",
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


def onset(**changes: Any) -> Onset:
    accuracy = np.array([0.4, 0.7, 0.8, 0.85, 0.84, 0.82])
    facts: dict[str, Any] = {"epoch": 4, "low": 3, "high": 5, "reached": True}
    gain = {"gain": 0.03, "gain_low": 0.012, "gain_high": 0.05}
    return Onset(**facts | {"accuracy": accuracy} | gain | changes)


def calibration(wrong: int, examples: int, *, reviewed: int = 60, **changes: Any) -> Calibration:
    """Return a calibration from reviews of every so many examples: the flagged ones are wrong."""
    ids = np.arange(0, examples, max(1, examples // reviewed))
    reviews = Reviews(
        ids, np.where(ids < wrong, "wrong", "right").astype(object), np.full(len(ids), "", object)
    )
    bounds = strata_of(examples)
    strata = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    facts: dict[str, Any] = {
        "wanted": 0.9,
        "flagged": np.arange(wrong),
        "assured": wrong > 0,
        "precision": Estimate(0.91, 0.83, 0.97),
        "recall": Estimate(0.8, 0.7, 0.9),
        "mislabelled": Estimate(68.4, 55.0, 80.0),
        "by_class": pd.DataFrame(),
        "p_wrong": np.zeros(examples),
        "reviews": reviews,
        "kinds": NO_BOUNDS,
        "ranking": np.arange(examples),
        "estimates": (Estimates(reviews.values(examples, np.nan), strata),),
    }
    return Calibration(**facts | changes)


def unreviewed(examples: int = 300, kinds: pd.DataFrame = NO_BOUNDS) -> Calibration:
    """Return a calibration without reviews."""
    return calibrated(-np.arange(examples, dtype=float), np.zeros(examples, int), None, kinds, 0.9)


def made_up(*, share: float = 0.2, examples: int = 300, **changes: Any) -> Audit:
    """Return an audit of digits of which a share is flagged, with some facts changed."""
    rows = changes.get("table", table(examples, share=share))
    facts: dict[str, Any] = {
        "name": "digits",
        "classes": CLASSES,
        "table": rows,
        "onset": onset(),
        "calibration": calibration(int(rows["flagged"].sum()), len(rows)),
        "window": 4,
        "epochs": 6,
        "seeds": 4,
        "gaps": np.zeros((4, 6), np.int64),
        "notes": ("Classes without examples: eleven",),
    }
    if "dataset" not in changes:
        labels = rows["label"].clip(lower=0).to_numpy()
        facts["dataset"] = Dataset.from_arrays("digits", inputs(len(rows)), labels)
    return Audit(**facts | changes)

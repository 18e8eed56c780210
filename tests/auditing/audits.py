"""Made-up audits of the digits that ship with scikit-learn: nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from byheart.auditing.audit import Audit
from byheart.auditing.calibration import Calibration
from byheart.auditing.onset import Onset
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


def calibration(flagged: int, examples: int, **changes: Any) -> Calibration:
    lengths = np.unique([1, 10, flagged or 20, examples])
    shares = {"precision": np.linspace(1, 0.2, len(lengths)), "recall": lengths / examples}
    curve = pd.DataFrame({"p_wrong": shares["precision"]}, pd.Index(lengths, name="flagged"))
    for name, share in shares.items():
        curve[name], curve[f"{name}_low"], curve[f"{name}_high"] = share, share * 0.9, share
    facts: dict[str, Any] = {
        "wanted": 0.9,
        "flagged": flagged,
        "listed": np.arange(flagged),
        "threshold": 0.4 if flagged else float("inf"),
        "precision": Estimate(0.91, 0.83, 0.97) if flagged else Estimate(*[float("nan")] * 3),
        "recall": Estimate(0.8, 0.7, 0.9) if flagged else Estimate(0.0, 0.0, 0.0),
        "mislabelled": Estimate(68.4, 55.0, 80.0),
        "curve": curve,
        "planted": 70,
        "p_wrong": np.zeros(examples),
    }
    return Calibration(**facts | changes)


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

"""Made-up audits: what was found is given, nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tests.report.audits import CLASSES, inputs, table

from byheart.auditing.calibration import Calibration, Estimate
from byheart.auditing.onset import Onset
from byheart.auditing.result import Audit
from byheart.data.dataset import Dataset


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
    rows = table(examples, share=share)
    facts: dict[str, Any] = {
        "name": "digits",
        "classes": CLASSES,
        "table": rows,
        "onset": onset(),
        "calibration": calibration(int(rows["flagged"].sum()), examples),
        "window": 4,
        "epochs": 6,
        "seeds": 4,
        "gaps": np.zeros((4, 6), np.int64),
        "notes": ("classes without examples: eleven",),
        "dataset": Dataset.from_arrays("digits", inputs(examples), rows["label"].to_numpy()),
    }
    return Audit(**facts | changes)

"""The files around an audit: the examples it reads, and the table, numbers and page it writes."""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from byheart.auditing.audit import Audit
from byheart.auditing.calibration import Calibration, calibrated
from byheart.auditing.cards import with_names
from byheart.auditing.onset import Onset
from byheart.auditing.result import AuditResult
from byheart.auditing.reviews import RIGHT, UNSURE, WRONG, Reviews
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.files import write_bytes, write_text
from byheart.report.frame import frame_csv
from byheart.statistics.estimate import Estimate

CSV, PARQUET, JSON, PAGE = "table.csv", "table.parquet", "audit.json", "report.html"
TO_REVIEW = "to-review.csv"


def write_audit(
    folder: Path, audit: Audit, numbers: Mapping[str, Any], about: Mapping[str, str]
) -> list[Path]:
    """Write the files of an audit, and return their paths, the page last.

    Each file is the old one or the new one, never half of both. Without pyarrow there is no Parquet
    file.
    """
    table = with_names(audit.table, audit.classes)
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False)
    return [
        write_text(folder / CSV, frame_csv(table)),
        *_parquet(folder / PARQUET, table),
        write_text(folder / JSON, f"{text}\n"),
        write_text(folder / TO_REVIEW, frame_csv(audit.to_review())),
        audit.to_html(folder / PAGE, about=about),
    ]


def read_audit(folder: Path, dataset: Dataset) -> tuple[Audit, dict[str, Any]]:
    """Return an audit that was written to a folder, and the numbers in its JSON.

    Raises:
        InputError: there is no audit, or it is of other data.
    """
    try:
        numbers = json.loads((folder / JSON).read_text(encoding="utf-8"))
        table = pd.read_csv(folder / CSV, index_col="id", keep_default_na=False, na_values=[""])
        fingerprint, calibration = numbers["run"]["Fingerprint"], numbers["calibration"]
        kinds = pd.DataFrame(calibration["kinds"], columns=["kind", "flips", "most_wrong"])
        unjudged = np.array(calibration["unjudged"], np.int64)
        table = table.drop(columns=["label_name", "suggested_name"])
        texts = ["verdict", "doubt", "reviewed", "evidence"]
        table[texts] = table[texts].astype(object).fillna("")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds no audit: run the same command without --reviews "
            f"and --export first ({type(error).__name__}: {error})"
        ) from None
    if fingerprint != dataset.fingerprint:
        raise InputError(
            f"the audit in {folder} is of other data: its fingerprint is {fingerprint}, that of "
            f"the source {dataset.fingerprint}"
        )
    suspicion = table["suspicion"].to_numpy(np.float64, copy=True)
    suspicion[unjudged] = np.nan
    wanted = float(calibration["wanted"])
    labels = table["label"].to_numpy(np.int64)
    audit = Audit(
        name=numbers["data"],
        classes=tuple(numbers["classes"]),
        table=table,
        onset=_read_onset(numbers["onset"]),
        calibration=calibrated(suspicion, labels, None, kinds.set_index("kind"), wanted),
        window=numbers["window"],
        epochs=numbers["epochs"],
        seeds=numbers["seeds"],
        gaps=np.zeros((numbers["seeds"], numbers["epochs"]), np.int64),
        notes=tuple(numbers["notes"]),
        dataset=dataset,
    )
    return audit, numbers


def _read_onset(facts: Mapping[str, Any] | None) -> Onset | None:
    if facts is None:
        return None
    (low, high), (gain_low, gain_high) = facts["interval"], facts["gain_interval"]
    return Onset(
        epoch=facts["epoch"],
        low=low,
        high=high,
        reached=facts["reached"],
        accuracy=np.array(facts["accuracy"]),
        gain=facts["gain"],
        gain_low=gain_low,
        gain_high=gain_high,
        level=facts["level"],
        never=tuple(facts["never"]),
    )


def has_pyarrow() -> bool:
    """Return whether Parquet can be written."""
    return importlib.util.find_spec("pyarrow") is not None


def _parquet(path: Path, table: pd.DataFrame) -> list[Path]:
    if not has_pyarrow():
        # A file of an earlier audit would not fit the other files.
        path.unlink(missing_ok=True)
        return []
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow")
    return [write_bytes(path, buffer.getvalue())]


def summary(audit: AuditResult) -> dict[str, Any]:
    """Return the numbers of an audit as JSON can hold them; what is not known is None."""
    verdicts = audit.table["verdict"].value_counts()
    return {
        "data": audit.name,
        "examples": len(audit.table),
        "classes": list(audit.classes),
        "seeds": audit.seeds,
        "epochs": audit.epochs,
        "window": audit.window,
        "notes": list(audit.notes),
        "skipped": _skipped(audit),
        "alerts": [{"kind": alert.kind, "text": alert.text} for alert in audit.alerts],
        "flagged": len(audit.calibration.flagged),
        "verdicts": {str(name): int(count) for name, count in verdicts.items() if name},
        "conflicts": [list(pair) for pair in audit.conflicts],
        "onset": None if audit.onset is None else _onset(audit.onset),
        "calibration": _calibration(audit.calibration),
        "list": _list(audit),
    }


def _skipped(audit: AuditResult) -> list[list[str]]:
    """Return the files that were left out, each with its reason."""
    prepared = None if audit.dataset is None else audit.dataset.prepared
    return [] if prepared is None else [list(pair) for pair in prepared.skipped]


def _onset(onset: Onset) -> dict[str, Any]:
    return {
        "epoch": onset.epoch,
        "interval": [onset.low, onset.high],
        "reached": onset.reached,
        "gain": onset.gain,
        "gain_interval": [onset.gain_low, onset.gain_high],
        "accuracy": [float(accuracy) for accuracy in onset.accuracy],
        "level": onset.level,
        "never": list(onset.never),
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    reviews = calibration.reviews
    unjudged = np.setdiff1d(np.arange(len(calibration.p_wrong)), calibration.ranking)
    return {
        "wanted": calibration.wanted,
        "assured": calibration.assured,
        "precision": _estimate(calibration.precision),
        "recall": _estimate(calibration.recall),
        "mislabelled": _estimate(calibration.mislabelled),
        "by_class": _rows(calibration.by_class),
        "kinds": _rows(calibration.kinds),
        "reviews": None if reviews is None else _reviews(reviews),
        "unjudged": unjudged.tolist(),
        "level": calibration.level,
    }


def _reviews(reviews: Reviews) -> dict[str, int]:
    return {verdict: reviews.count(verdict) for verdict in (WRONG, RIGHT, UNSURE)} | {
        "compared": reviews.compared,
        "disagreements": reviews.disagreements,
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.reset_index().to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = [_finite(estimate.low), _finite(estimate.high)]
    return {"value": _finite(estimate.value), "interval": interval}


def _list(audit: AuditResult) -> list[dict[str, Any]]:
    """Return the flagged examples, the likeliest to be wrong first."""
    columns = ["label", "suggested", "suspicion", "p_wrong", "verdict", "evidence"]
    columns += [name for name in ("file", "row") if name in audit.table]
    return _rows(audit.flagged[[*columns, "conflicts_with"]])


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

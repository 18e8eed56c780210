"""The files around an audit: the examples it reads, and the table, numbers and page it writes."""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from byheart.auditing.audit import Audit
from byheart.auditing.calibration import Calibration
from byheart.auditing.cards import with_names
from byheart.auditing.onset import Onset
from byheart.auditing.result import AuditResult
from byheart.data import load_dataset
from byheart.data.dataset import Dataset, split_indices
from byheart.data.sources import example_files
from byheart.files import write_bytes, write_text
from byheart.networks.foreign import Factory
from byheart.report.frame import frame_csv
from byheart.statistics.estimate import Estimate

CSV, PARQUET, JSON, PAGE = "table.csv", "table.parquet", "audit.json", "report.html"
UNITS = 256
DEFAULT_NETWORK = f"a multilayer perceptron with one layer of {UNITS} units"
"""The network where a user names none."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A data set, and where each of its examples comes from.

    ``origin`` holds further columns for the table: ``row`` in the source if the examples are a
    subset, ``file`` if each example is a file.
    """

    dataset: Dataset
    origin: Mapping[str, Any]

    def named_in(self, audit: Audit) -> Audit:
        """Return the audit with the columns of ``origin`` in its table."""
        table = audit.table.copy()
        for at, (name, values) in enumerate(self.origin.items()):
            table.insert(at, name, values)
        return replace(audit, table=table)


def load_examples(source: str, *, size: int | None = None, seed: int = 0) -> Examples:
    """Load a data set or a class-balanced random subset of it; see :func:`byheart.load_dataset`."""
    whole, files = load_dataset(source), example_files(source)
    if size is None:
        return Examples(whole, {} if files is None else {"file": files})
    rows, _ = split_indices(whole.y, whole.n_classes, size, 0, seed, whole.classes)
    numbers = rows.numpy().astype(np.int64)
    origin: dict[str, Any] = {"row": numbers}
    if files is not None:
        origin["file"] = [files[i] for i in numbers]
    return Examples(whole.subset(rows), origin)


def default_network(dataset: Dataset) -> Factory:
    """Return a factory of multilayer perceptrons for a data set."""
    inputs, classes = int(np.prod(dataset.shape)), dataset.n_classes

    def perceptron() -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, UNITS), nn.ReLU(), nn.Linear(UNITS, classes)
        )

    return perceptron


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
        audit.to_html(folder / PAGE, about=about),
    ]


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
        "alerts": [{"kind": alert.kind, "text": alert.text} for alert in audit.alerts],
        "flagged": None if audit.calibration is None else audit.calibration.flagged,
        "verdicts": {str(name): int(count) for name, count in verdicts.items() if name},
        "conflicts": [list(pair) for pair in audit.conflicts],
        "onset": None if audit.onset is None else _onset(audit.onset),
        "calibration": None if audit.calibration is None else _calibration(audit.calibration),
        "list": _list(audit),
    }


def _onset(onset: Onset) -> dict[str, Any]:
    return {
        "epoch": onset.epoch,
        "interval": [onset.low, onset.high],
        "reached": onset.reached,
        "gain": onset.gain,
        "gain_interval": [onset.gain_low, onset.gain_high],
        "accuracy": [float(accuracy) for accuracy in onset.accuracy],
        "level": onset.level,
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    return {
        "wanted": calibration.wanted,
        "threshold": _finite(calibration.threshold),
        "precision": _estimate(calibration.precision),
        "recall": _estimate(calibration.recall),
        "mislabelled": _estimate(calibration.mislabelled),
        "planted": calibration.planted,
        "level": calibration.level,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = [_finite(estimate.low), _finite(estimate.high)]
    return {"value": _finite(estimate.value), "interval": interval}


def _list(audit: AuditResult) -> list[dict[str, Any]]:
    """Return the flagged examples, the likeliest to be wrong first."""
    columns = ["label", "suggested", "suspicion", "p_wrong", "verdict", "evidence"]
    columns += [name for name in ("file", "row") if name in audit.table]
    rows = audit.flagged[[*columns, "conflicts_with"]].reset_index().to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

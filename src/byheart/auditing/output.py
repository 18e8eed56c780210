"""The files of an audit: the table, the numbers and the page."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from byheart.files import write_bytes, write_text
from byheart.report.audit.columns import with_names
from byheart.report.table import frame_csv

if TYPE_CHECKING:
    from byheart.auditing.result import Audit

CSV, PARQUET, JSON, PAGE = "table.csv", "table.parquet", "audit.json", "report.html"


def write_audit(
    folder: Path, audit: Audit, numbers: Mapping[str, Any], about: Mapping[str, str]
) -> list[Path]:
    """Write the files of an audit; each is the old one or the new one, never half of both.

    Args:
        folder: where to; made if it does not exist.
        audit: what was found.
        numbers: the content of ``audit.json``.
        about: further facts for the page.

    Returns:
        The paths that were written, the page last. Without pyarrow there is no Parquet among them.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
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
        # One of an earlier audit would not fit the other files.
        path.unlink(missing_ok=True)
        return []
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow")
    return [write_bytes(path, buffer.getvalue())]

"""Rows of the bench: what was measured on each case, a file each, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.audit.cases import PARTS, Case
from byheart.files import write_text

Row = dict[str, Any]

VERSIONS = dict.fromkeys(PARTS, 1) | {"calibration": 4, "ours": 2}
"""Raise a part's when its numbers come to mean something else: its rows are then measured again."""
DIGITS = 7
"""Significant ones that are kept."""


def missing(wanted: Iterable[Case], folder: Path) -> Iterator[Case]:
    """Yield the cases that have no row yet, each looked for as its turn comes."""
    return (case for case in wanted if _read(folder / f"{case.name}.json", case) is None)


def keep(case: Case, found: Row, folder: Path) -> Row:
    """Write the row of a case in one step, and return it."""
    row = _facts(case) | {"found": _rounded(found)}
    write_text(folder / f"{case.name}.json", json.dumps(row) + "\n")
    return row


def collected(wanted: Iterable[Case], folder: Path) -> list[Row]:
    """Return the rows that there are, in the order of their cases."""
    rows = (_read(folder / f"{case.name}.json", case) for case in wanted)
    return [row for row in rows if row is not None]


def _read(path: Path, case: Case) -> Row | None:
    """Return a row, or None if there is none of this case and version."""
    try:
        row: Row = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return row if _facts(case).items() <= row.items() else None


def _facts(case: Case) -> Row:
    return asdict(case) | {"version": VERSIONS[case.part]}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value

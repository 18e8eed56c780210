"""What lies in the file: one row per trial."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Summary:
    """One trial in a line.

    Attributes:
        key: hash of its facts.
        facts: the facts, as JSON values.
        outcome: how it ended.
        epochs: epochs trained.
        seconds: its share of the training time of its pack.
        threads: CPU threads the pack was trained with.
        device: where it was trained.
        reason: why it failed.
        finished: when it was stored (UTC, ISO 8601).
        arrays: number of arrays.
        size: bytes of all arrays together.
    """

    key: str
    facts: dict[str, Any]
    outcome: str
    epochs: int
    seconds: float
    threads: int
    device: str
    reason: str
    finished: str
    arrays: int
    size: int


_SUMMARY = TypeAdapter(Summary)


def as_object(text: str) -> dict[str, Any]:
    """Return facts from JSON.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("facts that are no object")
    return found


def summaries(connection: sqlite3.Connection) -> list[Summary]:
    """Return one row per trial, in the order they were added.

    Raises:
        ValueError: a value is not of its type.
    """
    rows = connection.execute(
        "SELECT t.key, facts, outcome, epochs, seconds, threads, device, reason, finished, "
        "count(a.name), coalesce(sum(length(a.data)), 0) "
        "FROM trials t LEFT JOIN arrays a ON a.key = t.key GROUP BY t.key ORDER BY t.rowid"
    )
    return [_summary(key, as_object(facts), *rest) for key, facts, *rest in rows]


def _summary(*values: Any) -> Summary:
    names = (field.name for field in fields(Summary))
    return _SUMMARY.validate_python(dict(zip(names, values, strict=True)))

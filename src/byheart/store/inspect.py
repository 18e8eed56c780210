"""What lies in the file: one row per trial."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any


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


def summaries(connection: sqlite3.Connection) -> list[Summary]:
    """Return one row per trial, in the order they were added."""
    rows = connection.execute(
        "SELECT t.key, facts, outcome, epochs, seconds, threads, device, reason, finished, "
        "count(a.name), coalesce(sum(length(a.data)), 0) "
        "FROM trials t LEFT JOIN arrays a ON a.key = t.key GROUP BY t.key ORDER BY t.rowid"
    )
    return [Summary(key, json.loads(facts), *rest) for key, facts, *rest in rows]

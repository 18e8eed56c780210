"""What lies in the file, and whether it is still what was written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from byheart.store import codec
from byheart.store.codec import StoredArray

_REPAIR = "forget this record (--repair) and run the study again: it trains this trial once more"


@dataclass(frozen=True)
class Problem:
    """Something in the file that is not what was written.

    Attributes:
        key: the trial; empty where it concerns the whole file.
        what: what is wrong.
        remedy: what to do about it.
    """

    key: str
    what: str
    remedy: str


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


def find_problems(connection: sqlite3.Connection) -> list[Problem]:
    """Check the file's structure, every key, every array's checksum and every record's seal."""
    problems = [
        Problem("", f"SQLite: {line}", "bring back a copy, or move the file away and run again")
        for (line,) in connection.execute("PRAGMA integrity_check")
        if line != "ok"
    ]
    columns = ", ".join(("key", "facts", "seal", *codec.SEALED))
    for key, facts, seal, *values in connection.execute(f"SELECT {columns} FROM trials"):
        if codec.facts_key(facts) != key:
            problems.append(Problem(key, "its facts are not those of its key", _REPAIR))
        checksums = {}
        for name, array in _arrays(connection, key):
            checksums[name] = array.checksum
            problems += _broken(key, name, array)
        ended = dict(zip(codec.SEALED, values, strict=True))
        if codec.seal(key, ended, checksums) != seal:
            what = "its outcome was changed, or an array is lost or one too many"
            problems.append(Problem(key, what, _REPAIR))
    strays = connection.execute("SELECT DISTINCT key FROM arrays EXCEPT SELECT key FROM trials")
    problems += [Problem(key, "arrays without a record", _REPAIR) for (key,) in strays]
    return problems


def _arrays(connection: sqlite3.Connection, key: str) -> Iterator[tuple[str, StoredArray]]:
    query = "SELECT name, dtype, shape, checksum, data FROM arrays WHERE key = ? ORDER BY name"
    for name, *stored in connection.execute(query, (key,)):
        yield name, StoredArray(*stored)


def _broken(key: str, name: str, array: StoredArray) -> list[Problem]:
    try:
        codec.decode(array)
    except (ValueError, TypeError) as error:
        return [Problem(key, f"array {name}: {error}", _REPAIR)]
    return []

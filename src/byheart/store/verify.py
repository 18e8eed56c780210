"""Checks that the file still holds what was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from byheart.store import codec
from byheart.store.codec import StoredArray
from byheart.store.schema import version_of
from byheart.store.tables import as_object

_REPAIR = "forget this record (--repair) and run the study again: it trains this trial once more"
_FILE = (
    "bring back a copy, or copy the intact records to another folder (`byheart store merge`) and "
    "run the study there"
)


@dataclass(frozen=True)
class Problem:
    """Something in the file that differs from what was written.

    Attributes:
        key: the trial; empty if it concerns the whole file.
        what: what is wrong.
        remedy: what to do about it.
    """

    key: str
    what: str
    remedy: str


def find_problems(connection: sqlite3.Connection) -> list[Problem]:
    """Check the file's structure, every key, every array's checksum and every record's seal."""
    problems: list[Problem] = []
    # Text that is no longer UTF-8 must fail a checksum, not end the check.
    with _lenient_text(connection):
        for check in (_structure, _records, _arrays_without_record, _runs):
            try:
                problems += check(connection)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                problems.append(Problem("", f"SQLite: {error}", _FILE))
    return problems


def find_record_problems(connection: sqlite3.Connection, key: str) -> list[Problem]:
    """Check one record: its facts, its arrays and its seal."""
    query = f"SELECT facts, seal, {', '.join(codec.SEALED)} FROM trials WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    if row is None:
        return [Problem(key, "its key is no longer found", _REPAIR)]
    facts, seal, *values = row
    problems = []
    if not isinstance(facts, str) or codec.facts_key(facts) != key:
        problems.append(Problem(key, "its facts are not those of its key", _REPAIR))
    checksums = {}
    for name, array in _arrays(connection, key):
        checksums[name] = array.checksum
        problems += _array_problems(key, name, array)
    if not _has_seal(seal, key, dict(zip(codec.SEALED, values, strict=True)), checksums):
        what = "its outcome was changed, or an array is lost or one too many"
        problems.append(Problem(key, what, _REPAIR))
    return problems


def _structure(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Problem("", f"SQLite: {line}", _FILE)
    meta = list(connection.execute("SELECT name, value FROM meta"))
    if meta != [("schema", str(version_of(connection)))]:
        yield Problem("", "its schema version was changed", _FILE)


def _records(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (key,) in connection.execute("SELECT key FROM trials ORDER BY rowid"):
        if isinstance(key, str):
            yield from find_record_problems(connection, key)
        else:
            yield Problem("", f"a record has the key {key!r}", _FILE)


def _arrays_without_record(connection: sqlite3.Connection) -> Iterator[Problem]:
    query = "SELECT DISTINCT key FROM arrays EXCEPT SELECT key FROM trials"
    for (key,) in connection.execute(query):
        yield Problem(str(key), "arrays without a record", _REPAIR)


def _runs(connection: sqlite3.Connection) -> Iterator[Problem]:
    for run, facts in connection.execute("SELECT id, facts FROM runs"):
        try:
            as_object(facts)
        except (ValueError, TypeError, RecursionError):
            yield Problem(
                "",
                f"what run {run} was asked for cannot be read",
                "give the command of the study again: it is noted anew",
            )


def _arrays(connection: sqlite3.Connection, key: str) -> Iterator[tuple[str, StoredArray]]:
    query = "SELECT name, dtype, shape, checksum, data FROM arrays WHERE key = ? ORDER BY name"
    for name, *stored in connection.execute(query, (key,)):
        yield str(name), StoredArray(*stored)


def _array_problems(key: str, name: str, array: StoredArray) -> list[Problem]:
    try:
        codec.require_name(name)
        codec.decode(array)
    except (ValueError, TypeError) as error:
        return [Problem(key, f"array {name}: {error}", _REPAIR)]
    return []


def _has_seal(seal: Any, key: str, ended: dict[str, Any], checksums: dict[str, Any]) -> bool:
    try:
        codec.require_ended(ended)
        return bool(codec.seal(key, ended, checksums) == seal)
    except (TypeError, ValueError):  # a number or a text that has become bytes
        return False


@contextmanager
def _lenient_text(connection: sqlite3.Connection) -> Iterator[None]:
    before = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
    try:
        yield
    finally:
        connection.text_factory = before

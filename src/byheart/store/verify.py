"""Whether what lies in the file is still what was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from byheart.store import codec
from byheart.store.codec import StoredArray
from byheart.store.schema import version_of

_REPAIR = "forget this record (--repair) and run the study again: it trains this trial once more"
_FILE = (
    "bring back a copy, or take what is whole to another folder (`byheart store merge`) and run "
    "the study there"
)


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


def find_problems(connection: sqlite3.Connection) -> list[Problem]:
    """Check the file's structure, every key, every array's checksum and every record's seal.

    Together they cover every byte that a reader sees: what a changed byte leaves unfound, it left
    as it was.
    """
    problems: list[Problem] = []
    # Text that is no longer UTF-8 must break a checksum, not the check.
    with _lenient_text(connection):
        for check in (_structure, _records, _strays, _facts_of_runs):
            try:
                problems += check(connection)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                problems.append(Problem("", f"SQLite: {error}", _FILE))
    return problems


def find_record_problems(connection: sqlite3.Connection, key: str) -> list[Problem]:
    """Check one record: its facts, its arrays, its seal and its stamp."""
    query = f"SELECT facts, finished, stamp, seal, {', '.join(codec.SEALED)} FROM trials"
    row = connection.execute(f"{query} WHERE key = ?", (key,)).fetchone()
    if row is None:
        return [Problem(key, "its key is no longer found", _REPAIR)]
    facts, finished, stamp, seal, *values = row
    problems = []
    if not _is_text(facts) or codec.facts_key(facts) != key:
        problems.append(Problem(key, "its facts are not those of its key", _REPAIR))
    checksums = {}
    for name, array in _arrays(connection, key):
        checksums[name] = array.checksum
        problems += _broken(key, name, array)
    if not _has_seal(seal, key, dict(zip(codec.SEALED, values, strict=True)), checksums):
        what = "its outcome was changed, or an array is lost or one too many"
        problems.append(Problem(key, what, _REPAIR))
    if not has_stamp(stamp, key, finished):
        problems.append(Problem(key, "when it was stored was changed", _REPAIR))
    return problems


def _structure(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Problem("", f"SQLite: {line}", _FILE)
    told = list(connection.execute("SELECT name, value FROM meta"))
    if told != [("schema", str(version_of(connection)))]:
        yield Problem("", "its schema version was changed", _FILE)


def _records(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (key,) in connection.execute("SELECT key FROM trials ORDER BY rowid"):
        if _is_text(key):
            yield from find_record_problems(connection, key)
        else:
            yield Problem("", f"a record has the key {key!r}", _FILE)


def _strays(connection: sqlite3.Connection) -> Iterator[Problem]:
    query = "SELECT DISTINCT key FROM arrays EXCEPT SELECT key FROM trials"
    for (key,) in connection.execute(query):
        yield Problem(str(key), "arrays without a record", _REPAIR)


def _facts_of_runs(connection: sqlite3.Connection) -> Iterator[Problem]:
    for run, started, facts, stamp in connection.execute(
        "SELECT id, started, facts, stamp FROM runs"
    ):
        if not has_stamp(stamp, run, started, facts):
            what = f"what run {run} was asked for was changed"
            yield Problem("", what, "give the command of the study again: it is noted anew")


def _arrays(connection: sqlite3.Connection, key: str) -> Iterator[tuple[str, StoredArray]]:
    query = "SELECT name, dtype, shape, checksum, data FROM arrays WHERE key = ? ORDER BY name"
    for name, *stored in connection.execute(query, (key,)):
        yield str(name), StoredArray(*stored)


def _broken(key: str, name: str, array: StoredArray) -> list[Problem]:
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


def has_stamp(stamp: Any, *values: Any) -> bool:
    """Return whether a row's stamp is that of its values, whatever type they have become."""
    try:
        return bool(codec.stamp(*values) == stamp)
    except TypeError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


@contextmanager
def _lenient_text(connection: sqlite3.Connection) -> Iterator[None]:
    before = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
    try:
        yield
    finally:
        connection.text_factory = before

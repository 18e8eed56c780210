"""Records of several stores brought into one: whole, or named and left where they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from byheart.errors import StoreError
from byheart.store import codec
from byheart.store.connection import code_of
from byheart.store.verify import find_record_problems, has_stamp

CONFLICTS = ("refuse", "first", "neither")

_TRIAL = ("facts", "finished", "stamp", "seal", *codec.SEALED)
_ARRAY = ("name", "dtype", "shape", "checksum", "data")


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        added: records that were brought over.
        same: records that were there already with the same content.
        conflicts: keys of trials with other content in two stores, and the store of the second.
        damaged: keys of records that are not what was written, and their store; left there.
        unread: stores of which a part cannot be read, and why.
    """

    added: int = 0
    same: int = 0
    conflicts: list[tuple[str, Path]] = field(default_factory=list)
    damaged: list[tuple[str, Path]] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Content:
    """What a trial found: all but how long it took, where, and when."""

    outcome: str
    epochs: int
    arrays: tuple[tuple[str, str], ...]


def merge_into(
    target: sqlite3.Connection, source: sqlite3.Connection, folder: Path, merged: Merged
) -> None:
    """Bring the records of one store into another; the caller holds the transaction.

    A failed or damaged record gives way to a finished one. What differs stays as it is in
    ``target``.

    Args:
        target: is written.
        source: is read.
        folder: of the source, to name what stays there.
        merged: is told.
    """
    # One snapshot, also where a study is writing there.
    source.execute("BEGIN")
    for key in _keys(source, folder, merged):
        try:
            if find_record_problems(source, key):
                merged.damaged.append((key, folder))
                continue
            _bring(target, source, key, folder, merged)
        except sqlite3.DatabaseError as error:
            if code_of(error) != sqlite3.SQLITE_CORRUPT:
                raise
            merged.damaged.append((key, folder))
    if not target.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
        _bring_runs(target, source)


def _keys(source: sqlite3.Connection, folder: Path, merged: Merged) -> Iterator[str]:
    keys: list[str] = []
    try:
        for (key,) in source.execute("SELECT key FROM trials ORDER BY rowid"):
            keys.append(key)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # What was read before the damage is still worth bringing over.
        merged.unread.append((folder, str(error)))
    yield from keys


def _bring(
    target: sqlite3.Connection, source: sqlite3.Connection, key: str, folder: Path, merged: Merged
) -> None:
    ours, theirs = _content(target, key), _content(source, key)
    assert theirs is not None, "it was read a moment ago"
    if ours is not None and not find_record_problems(target, key):
        if ours == theirs or theirs.outcome == "failed":
            merged.same += 1
            return
        if ours.outcome != "failed":
            merged.conflicts.append((key, folder))
            return
    target.execute("DELETE FROM arrays WHERE key = ?", (key,))
    target.execute("DELETE FROM trials WHERE key = ?", (key,))
    _copy(target, source, "trials", _TRIAL, key)
    _copy(target, source, "arrays", _ARRAY, key)
    merged.added += 1


def _content(connection: sqlite3.Connection, key: str) -> _Content | None:
    query = "SELECT outcome, epochs FROM trials WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    if row is None:
        return None
    arrays = "SELECT name, checksum FROM arrays WHERE key = ? ORDER BY name"
    outcome, epochs = row
    return _Content(outcome, epochs, tuple(connection.execute(arrays, (key,))))


def _copy(
    target: sqlite3.Connection,
    source: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    key: str,
) -> None:
    names = ", ".join(columns)
    rows = source.execute(f"SELECT {names} FROM {table} WHERE key = ?", (key,))
    # The key that was asked for, and that the seal was checked with: in a damaged file the index
    # may find a row by it that has another by now.
    target.executemany(
        f"INSERT INTO {table} (key, {names}) VALUES (?, {', '.join('?' * len(columns))})",
        ((key, *row) for row in rows),
    )


def _bring_runs(target: sqlite3.Connection, source: sqlite3.Connection) -> None:
    for number, started, facts, stamp in source.execute(
        "SELECT id, started, facts, stamp FROM runs ORDER BY id"
    ):
        if has_stamp(stamp, number, started, facts):
            target.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", (number, started, facts, stamp))


def settle(target: sqlite3.Connection, merged: Merged, conflicts: str, into: Path) -> None:
    """Do with the conflicts what was asked for.

    Raises:
        StoreError: there are some, and they are to be refused.
    """
    if not merged.conflicts or conflicts == "first":
        return
    if conflicts == "neither":
        keys = [(key,) for key, _ in merged.conflicts]
        target.executemany("DELETE FROM arrays WHERE key = ?", keys)
        target.executemany("DELETE FROM trials WHERE key = ?", keys)
        return
    named = ", ".join(f"{key} of {folder}" for key, folder in merged.conflicts[:3])
    more = f" and {len(merged.conflicts) - 3} more" if len(merged.conflicts) > 3 else ""
    raise StoreError(
        f"nothing was merged into {into}: {named}{more} found something else than the record of "
        "the same trial before; add --conflicts first to keep the first, or neither to train both "
        "again"
    )

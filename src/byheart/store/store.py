"""The records of an output folder: find missing trials; add, read and merge records."""

from __future__ import annotations

import builtins
import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from byheart.errors import InputError, StoreError
from byheart.record import Record
from byheart.store import codec
from byheart.store.codec import StoredArray
from byheart.store.connection import (
    FILE,
    code_of,
    connect_to_read,
    connect_to_write,
    damaged,
    explained_errors,
)
from byheart.store.tables import Summary, as_object, export, summaries
from byheart.store.verify import Problem, find_problems, find_record_problems
from byheart.trial import Trial

_CHUNK = 500
"""Keys per query: below the 999 parameters that any SQLite allows."""
_COPIED = {
    "trials": ("facts", "finished", "seal", *codec.SEALED),
    "arrays": ("name", "dtype", "shape", "checksum", "data"),
}
"""Columns that a merge copies, beside the key."""


@dataclass
class Merged:
    """Result of a merge.

    Attributes:
        added: number of records that were copied.
        kept: number of records that this store already had.
        different: keys of trials that this store has with another outcome or other arrays.
        damaged: keys of damaged records, which were not copied.
        unread: the error that ended reading of the source; empty if there was none.
    """

    added: int = 0
    kept: int = 0
    different: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unread: str = ""


class Store:
    """Records in ``results.sqlite``. Open with :meth:`open`; close, or use ``with``."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None
    ) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._connection = connection
        self._lock = lock

    @classmethod
    def open(cls, folder: Path | str, create: bool = True) -> Self:
        """Open the store of an output folder.

        Args:
            folder: the folder of ``results.sqlite``.
            create: lock the folder for writing, and create missing files. False: only read, also
                while another process writes.

        Raises:
            StoreError: the file cannot be written or read, is damaged or locked, is no store, or
                belongs to a newer byheart.
        """
        folder = Path(folder)
        if create:
            return cls(folder, *connect_to_write(folder))
        return cls(folder, connect_to_read(folder), None)

    def close(self) -> None:
        """Close the file and let others write. Closing twice does no harm."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        with explained_errors(self._path):
            return int(self._connection.execute("SELECT count(*) FROM trials").fetchone()[0])

    def missing(self, trials: Iterable[Trial]) -> builtins.list[Trial]:
        """Return the trials still to be trained: without a record, or with a failed one.

        Args:
            trials: in any order, with duplicates allowed.

        Returns:
            Each missing trial once, in the order given.
        """
        unique = {trial.key: trial for trial in trials}
        with self._transaction("DEFERRED"):
            rows = self._by_key("SELECT key FROM trials WHERE outcome <> 'failed' AND key", unique)
            done = {key for (key,) in rows}
        return [trial for key, trial in unique.items() if key not in done]

    def add(self, records: Sequence[Record]) -> None:
        """Store the records of a pack: all of them or, if anything goes wrong, none.

        A new record replaces a failed one. Other records are never overwritten.

        Raises:
            StoreError: the disk is full or the file cannot be written; nothing was stored.
        """
        finished = _now()
        with self._transaction("IMMEDIATE"):
            for record in records:
                self._add(record, finished)

    def records(self, trials: Iterable[Trial]) -> dict[str, Record]:
        """Return the records of these trials, by key, in the order given.

        Trials without a record are omitted.

        Raises:
            StoreError: a record does not match its checksum.
        """
        unique = {trial.key: trial for trial in trials}
        columns = ", ".join(("key", "seal", *codec.SEALED))
        with self._transaction("DEFERRED"):
            rows = list(self._by_key(f"SELECT {columns} FROM trials WHERE key", unique))
            arrays: dict[str, dict[str, StoredArray]] = {row[0]: {} for row in rows}
            for key, name, *stored in self._by_key(
                "SELECT key, name, dtype, shape, checksum, data FROM arrays WHERE key", arrays
            ):
                arrays[key][name] = StoredArray(*stored)
        read = {}
        for key, seal, *values in rows:
            ended = dict(zip(codec.SEALED, values, strict=True))
            read[key] = Record(
                trial=unique[key], arrays=self._decoded(key, seal, ended, arrays[key]), **ended
            )
        return {key: read[key] for key in unique if key in read}

    def save_run(self, facts: Mapping[str, Any]) -> None:
        """Store the request of a run, so that the report can be drawn again from the file.

        Args:
            facts: JSON values; floats come back bit for bit.
        """
        text, started = json.dumps(facts, allow_nan=False), _now()
        with self._transaction("IMMEDIATE"):
            query = "INSERT INTO runs (started, facts) VALUES (?, ?)"
            self._connection.execute(query, (started, text))

    def last_run(self) -> dict[str, Any] | None:
        """Return the facts of the latest run and when it ``started``; None if there was none."""
        with explained_errors(self._path):
            row = self._connection.execute(
                "SELECT started, facts FROM runs ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return None if row is None else {"started": row[0], **self._parsed(row[1])}

    def forget(self, keys: Iterable[str]) -> int:
        """Remove records, so that the next study trains their trials again.

        Returns:
            Number of removed records.
        """
        forgotten = 0
        with self._transaction("IMMEDIATE"):
            for key in set(keys):
                self._connection.execute("DELETE FROM arrays WHERE key = ?", (key,))
                cursor = self._connection.execute("DELETE FROM trials WHERE key = ?", (key,))
                forgotten += cursor.rowcount
        return forgotten

    def verify(self) -> builtins.list[Problem]:
        """Return everything in the file that differs from what was written, and what to do."""
        with self._transaction("DEFERRED"):
            return find_problems(self._connection)

    def list(self) -> builtins.list[Summary]:
        """Return one row per trial: what was trained and how it ended, in the order added."""
        with self._transaction("DEFERRED"), self._readable():
            return summaries(self._connection)

    def export(self, folder: Path | str, format: str = "csv") -> builtins.list[Path]:
        """Write a table of trials and all arrays to a folder, for other tools.

        Args:
            folder: made if missing.
            format: "csv" (``trials.csv`` and ``arrays.csv``, one value a row), "npz" (the same
                ``trials.csv`` and ``arrays.npz`` by "key/name") or "parquet" (``trials.parquet``
                and ``arrays.parquet``, one array a row).

        Returns:
            The files written.

        Raises:
            InputError: the format is unknown, the folder cannot be written, or there is no
                pyarrow for Parquet.
        """
        with self._transaction("DEFERRED"), self._readable():
            return export(self._connection, Path(folder), format)

    def merge(self, source: Path | str) -> Merged:
        """Copy the records of another store into this one, in one transaction.

        A record of this store stays, unless it is failed or damaged. Damaged records of the source
        are not copied.

        Args:
            source: output folder of the other store; only read, once it has this version's schema.

        Raises:
            StoreError: a store cannot be read, or the source is newer than this byheart.
        """
        folder, merged = Path(source), Merged()
        if self.folder.resolve() == folder.resolve():
            raise StoreError(f"{self.folder} cannot be merged into itself: name another store")
        with contextlib.closing(connect_to_read(folder)) as other, self._transaction("IMMEDIATE"):
            # One snapshot, even if a study is writing there.
            other.execute("BEGIN")
            for key in _keys(other, merged):
                try:
                    self._merge_record(other, key, merged)
                except sqlite3.DatabaseError as error:
                    if code_of(error) != sqlite3.SQLITE_CORRUPT:
                        raise
                    merged.damaged.append(key)
            if not self._connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                rows = other.execute("SELECT started, facts FROM runs ORDER BY id")
                self._connection.executemany(
                    "INSERT INTO runs (started, facts) VALUES (?, ?)", rows
                )
        return merged

    def _merge_record(self, other: sqlite3.Connection, key: str, merged: Merged) -> None:
        if find_record_problems(other, key):
            merged.damaged.append(key)
            return
        ours, theirs = _content(self._connection, key), _content(other, key)
        if ours and not find_record_problems(self._connection, key):
            finished = ours[0] != "failed"
            if finished or theirs[0] == "failed":
                merged.kept += 1
                if finished and theirs[0] != "failed" and ours != theirs:
                    merged.different.append(key)
                return
        self._connection.execute("DELETE FROM arrays WHERE key = ?", (key,))
        self._connection.execute("DELETE FROM trials WHERE key = ?", (key,))
        for table, names in _COPIED.items():
            rows = other.execute(f"SELECT {', '.join(names)} FROM {table} WHERE key = ?", (key,))
            # Write the requested key: a damaged index may return another row.
            self._connection.executemany(
                f"INSERT INTO {table} (key, {', '.join(names)}) "
                f"VALUES (?, {', '.join('?' * len(names))})",
                ((key, *row) for row in rows),
            )
        merged.added += 1

    def _add(self, record: Record, finished: str) -> None:
        key = record.trial.key
        execute = self._connection.execute
        execute("DELETE FROM trials WHERE key = ? AND outcome = 'failed'", (key,))
        if execute("SELECT 1 FROM trials WHERE key = ?", (key,)).fetchone():
            return
        # A lost record may have left arrays.
        execute("DELETE FROM arrays WHERE key = ?", (key,))
        arrays = {name: codec.encode(np.asarray(a)) for name, a in record.arrays.items()}
        ended = codec.ending(record)
        seal = codec.seal(key, ended, {name: a.checksum for name, a in arrays.items()})
        execute(
            f"INSERT INTO trials (key, facts, finished, seal, {', '.join(codec.SEALED)}) "
            f"VALUES (?, ?, ?, ?, {', '.join('?' * len(codec.SEALED))})",
            (key, codec.facts_text(record.trial), finished, seal, *ended.values()),
        )
        self._connection.executemany(
            "INSERT INTO arrays (key, name, dtype, shape, checksum, data) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [(key, name, *array) for name, array in arrays.items()],
        )

    def _decoded(
        self, key: str, seal: str, ended: Mapping[str, Any], arrays: Mapping[str, StoredArray]
    ) -> dict[str, np.ndarray]:
        checksums = {name: array.checksum for name, array in arrays.items()}
        try:
            if codec.seal(key, ended, checksums) != seal:
                raise ValueError("its seal does not match")
            codec.require_ended(ended)
            return {codec.require_name(n): codec.decode(arrays[n]) for n in sorted(arrays)}
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"the record of trial {key} in {self._path} is damaged ({error}): run `byheart "
                f"store verify {self.folder} --repair`, then the study again"
            ) from error

    def _parsed(self, text: str) -> dict[str, Any]:
        with self._readable():
            return as_object(text)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(
                f"facts in {self._path} are damaged: run `byheart store verify {self.folder} "
                "--repair`, then the study again"
            ) from error

    def _by_key(self, query: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        wanted = list(keys)
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            chunk_keys = set(chunk)
            for row in self._connection.execute(
                f"{query} IN ({', '.join('?' * len(chunk))})", chunk
            ):
                # A damaged index may return the row of another key.
                if row[0] not in chunk_keys:
                    raise damaged(self._path)
                yield row

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        with explained_errors(self._path):
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back already, for example if the disk is full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _keys(connection: sqlite3.Connection, merged: Merged) -> builtins.list[str]:
    """Return the keys of all records; in a damaged file, those before the damage."""
    keys: list[str] = []
    try:
        for (key,) in connection.execute("SELECT key FROM trials ORDER BY rowid"):
            keys.append(key)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        merged.unread = str(error)
    return keys


def _content(connection: sqlite3.Connection, key: str) -> tuple[Any, ...]:
    """Return a trial's outcome and arrays, without times and machine; empty without a record."""
    ended = connection.execute("SELECT outcome, epochs FROM trials WHERE key = ?", (key,))
    arrays = connection.execute(
        "SELECT name, checksum FROM arrays WHERE key = ? ORDER BY name", (key,)
    )
    row = ended.fetchone()
    return (*row, *arrays) if row else ()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

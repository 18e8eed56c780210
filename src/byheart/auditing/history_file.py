"""The file of a history: SQLite, arrays with checksums, four bytes per example and epoch."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.errors import StoreError
from byheart.store.codec import StoredArray, decode, encode

Half = NDArray[np.float16]
Row = NDArray[np.floating[Any]]
"""An epoch of all examples, NaN where not seen: margin and loss as float16 [2, N], or the loss
alone as float32 [1, N]."""

APPLICATION = 0x62794864
"""SQLite's application id of a history: "byHd"."""
VERSION = 2
"""2: epochs may be of the loss alone."""
PAGE = 2**16
"""Size of a page in bytes: large pages have little overhead."""
_TABLES = """
CREATE TABLE epochs (
  epoch INTEGER PRIMARY KEY, dtype TEXT NOT NULL, shape TEXT NOT NULL, checksum TEXT NOT NULL,
  data BLOB NOT NULL
);
CREATE TABLE examples (
  name TEXT PRIMARY KEY, dtype TEXT NOT NULL, shape TEXT NOT NULL, checksum TEXT NOT NULL,
  data BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class HistoryFile:
    """The file of one training. It is open only during a transaction.

    An epoch is written in one transaction, with what it changed of the examples. Between
    transactions no connection is open, so data loaders forked from the training cannot damage it.

    Attributes:
        path: path of the file.
        durable: an epoch that was added survives a power cut, not only the end of the process.
    """

    path: Path
    durable: bool = True

    @classmethod
    def temporary(cls) -> HistoryFile:
        """Return a file in a new folder, which is removed with the last reference to the file.

        A process that was forked from this one does not remove the folder.
        """
        folder = Path(tempfile.mkdtemp(prefix="byheart-"))
        file, made_by = cls(folder / "history.sqlite", durable=False), os.getpid()

        def clean() -> None:
            if os.getpid() == made_by:
                shutil.rmtree(folder, ignore_errors=True)

        weakref.finalize(file, clean)
        return file

    def append(self, epoch: int, values: Row, examples: Mapping[str, NDArray[np.generic]]) -> str:
        """Add an epoch and the state of the examples, and return the epoch's checksum.

        Raises:
            StoreError: the file cannot be written, or holds other epochs than those before.
        """
        stored = encode(values)
        with self._connected(write=True) as connection:
            (last,) = connection.execute("SELECT max(epoch) FROM epochs").fetchone()
            held = 0 if last is None else last + 1
            if held != epoch:
                raise StoreError(
                    f"{self.path} holds {held} epochs where {epoch} were expected: another "
                    "training writes to it; give each its own file"
                )
            connection.execute("INSERT INTO epochs VALUES (?, ?, ?, ?, ?)", (epoch, *stored))
            for name, array in examples.items():
                connection.execute(
                    "INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?, ?)",
                    (name, *encode(array)),
                )
        return stored.checksum

    def rewind(self, checksums: Sequence[str]) -> None:
        """Forget the epochs after those of a checkpoint, with which the file must begin."""
        if not checksums and not self.path.exists():
            return
        with self._connected(write=bool(checksums) or self.path.exists()) as connection:
            held = _checksums(connection)
            if held[: len(checksums)] != list(checksums):
                raise StoreError(
                    f"{self.path} does not hold the {len(checksums)} epochs of the checkpoint: "
                    "bring back the file that was written along with it"
                )
            connection.execute("DELETE FROM epochs WHERE epoch >= ?", (len(checksums),))

    def checksums(self) -> list[str]:
        """Return the checksum of every epoch, in order; none if there is no file."""
        if not self.path.exists():
            return []
        with self._connected() as connection:
            return _checksums(connection)

    def content(self) -> tuple[tuple[str, ...], dict[str, NDArray[Any]]]:
        """Return the checksums of all epochs, and the arrays of all examples by name."""
        with self._connected() as connection:
            checksums = tuple(_checksums(connection))
            arrays = {
                name: self._decoded(StoredArray(*stored), name)
                for name, *stored in connection.execute("SELECT * FROM examples")
            }
        if not checksums:
            raise StoreError(f"{self.path} holds no epoch yet: call end_epoch() after each")
        return checksums, arrays

    def read(self, epoch: int, checksum: str) -> Row:
        """Return an epoch; refuse one that is gone or was written anew."""
        with self._connected() as connection:
            stored = connection.execute(
                "SELECT dtype, shape, checksum, data FROM epochs WHERE epoch = ?", (epoch,)
            ).fetchone()
        if stored is None or stored[2] != checksum:
            raise StoreError(
                f"{self.path}: its epoch {epoch} was written anew since this history was read: "
                "read it again"
            )
        return self._decoded(StoredArray(*stored), f"epoch {epoch}")

    def _decoded(self, stored: StoredArray, name: str) -> NDArray[Any]:
        try:
            return decode(stored)
        except ValueError as error:
            raise StoreError(
                f"{self.path} is damaged ({name}: {error}): bring back a copy, or train again"
            ) from error

    @contextmanager
    def _connected(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        if not write and not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such history")
        address = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        try:
            connection = sqlite3.connect(address, uri=True, isolation_level=None)
            try:
                if write:
                    self._begin(connection)
                self._require_ours(connection)
                yield connection
                if write:
                    connection.execute("COMMIT")
            finally:
                # SQLite rolls back what was not committed.
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path} cannot be {'written' if write else 'read'} ({error}): see to its "
                "folder, its disk and its permissions, or name another file"
            ) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'OFF'}")
        if not self.durable:
            connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("BEGIN IMMEDIATE")
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if empty and not connection.execute("PRAGMA application_id").fetchone()[0]:
            for statement in _TABLES.strip().split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _require_ours(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise StoreError(f"{self.path} is no history: name another file")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"{self.path} was written by a newer byheart (format {version}, known is "
                f"{VERSION}): update byheart"
            )


@dataclass(frozen=True)
class FileRows:
    """The epochs of a file, as they were when a history was taken of it."""

    file: HistoryFile
    checksums: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.checksums)

    def __reduce__(self) -> tuple[type[list[Row]], tuple[list[Row]]]:
        """Return what pickles and copies hold: the epochs themselves, since the file may go."""
        return list, ([self[epoch] for epoch in range(len(self))],)

    def __getitem__(self, epoch: int) -> Row:
        return self.file.read(epoch, self.checksums[epoch])


def _checksums(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT epoch, checksum FROM epochs ORDER BY epoch").fetchall()
    if [epoch for epoch, _ in rows] != list(range(len(rows))):
        raise sqlite3.DatabaseError("an epoch is missing")
    return [checksum for _, checksum in rows]

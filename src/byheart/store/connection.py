"""Opening the file: who may write, and the error if it cannot be read or written."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from byheart.errors import StoreError
from byheart.store.schema import (
    READABLE,
    VERSION,
    is_blank,
    is_ours,
    is_whole,
    migrate,
    version_of,
)

FILE = "results.sqlite"
LOCK = ".results.lock"
_LITTLE = 2**16
"""Free bytes below which a failed write means a full disk: SQLite does not always say so."""
_DAMAGE = ("Could not decode", "unsupported file format")
"""Starts of messages about damage that have no error code."""
_ODD = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
"""Errors that a file causes only if it holds what byheart never writes."""
PATIENCE = 5.0
"""Seconds to wait for another program that holds the file."""


MOST_BYTES = 2**28
"""Largest size of one value, in bytes: no record has an array near it, but a file can claim any."""


def connect_to_write(folder: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open the store of a folder for its one writer; make folder, file and tables where missing.

    Returns:
        The connection, and the lock that is held until it is closed.

    Raises:
        StoreError: someone else writes, or the file cannot be written or is not ours.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write to folder {folder} ({error.strerror}): name another with --out"
        ) from error
    path = folder / FILE
    with explained_errors(path):
        lock = _lock(folder)
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                _restrict(connection)
                _require_ours(connection, path)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                migrate(connection)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.close()
            raise
    return connection, lock


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """Open the store of a folder for reading, also while someone writes.

    Raises:
        StoreError: there is none, it is empty, not ours, or cannot be read.
    """
    connection = _open_existing(folder)
    if version_of(connection) >= READABLE:
        return connection
    connection.close()
    for writer in connect_to_write(folder):
        writer.close()
    return connect_to_read(folder)


def _open_existing(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    if not path.is_file():
        raise StoreError(
            f"no {FILE} in {folder}: name the folder of a study, the --out of `byheart study`"
        )
    # In WAL mode readers make files beside the store. If the folder is read-only, nobody writes,
    # and "immutable" tells SQLite so, unless a writer that was killed has left a log to apply.
    frozen = not os.access(folder, os.W_OK) and not Path(f"{path}-wal").exists()
    address = f"{path.absolute().as_uri()}?{'mode=ro&immutable=1' if frozen else 'mode=rw'}"
    with explained_errors(path):
        connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
        try:
            _restrict(connection)
            connection.execute("PRAGMA query_only = ON")
            _require_ours(connection, path)
            empty = version_of(connection) == 0
        except BaseException:
            connection.close()
            raise
    if empty:
        connection.close()
        raise StoreError(f"{path} is empty: run `byheart study --out {folder}` first")
    return connection


def _restrict(connection: sqlite3.Connection) -> None:
    """Let the schema of a file call only harmless functions, and limit the size of a value.

    Source: "Defense Against The Dark Arts", https://www.sqlite.org/security.html
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def code_of(error: sqlite3.Error) -> int:
    """Return SQLite's code of an error; 0 if it has none."""
    if str(error).startswith(_DAMAGE):
        return sqlite3.SQLITE_CORRUPT
    # The low byte is the error, the rest says more of it. Python's own errors have no code.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def damaged(path: Path) -> StoreError:
    """Return the error of a file that is not what byheart wrote."""
    return StoreError(f"{path} {_REMEDIES[sqlite3.SQLITE_CORRUPT]}")


@contextlib.contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into one line that names the file and the remedy."""
    try:
        yield
    except UnicodeDecodeError as error:
        # SQLite quotes a damaged name in its message, and Python cannot decode that.
        raise damaged(path) from error
    except sqlite3.Error as error:
        code = code_of(error)
        if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < _LITTLE:
            code = sqlite3.SQLITE_FULL
        elif code == sqlite3.SQLITE_IOERR and not os.access(path.parent, os.W_OK):
            raise StoreError(f"{path} {_TURNED_READ_ONLY}") from error
        if code in _ODD:
            code = sqlite3.SQLITE_CORRUPT
        remedy = _REMEDIES.get(code)
        if remedy is None:
            raise
        raise StoreError(f"{path} {remedy}") from error


_TURNED_READ_ONLY = (
    "can no longer be written, its disk has become read-only: make it writable and run the same "
    "command again; nothing that finished is lost"
)
_REMEDIES = {
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: make room and run the same command "
    "again; nothing that finished is lost",
    sqlite3.SQLITE_BUSY: "is locked by another program: close it and run the same command again",
    sqlite3.SQLITE_LOCKED: "is locked by another program: close it and run the same command again",
    sqlite3.SQLITE_READONLY: "cannot be written: change its permissions, or name another folder "
    "with --out",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: change the permissions of its folder, or name "
    "another with --out",
    sqlite3.SQLITE_PERM: "cannot be opened: change its permissions, or name another folder with "
    "--out",
    sqlite3.SQLITE_IOERR: "cannot be read or written (disk error): check the disk, or name another "
    "folder with --out",
    sqlite3.SQLITE_NOTADB: "is not a SQLite file: move it away, or name another folder with --out",
    sqlite3.SQLITE_TOOBIG: "holds a value larger than any that byheart writes: bring back a "
    "copy or move it away, then run the study again",
    sqlite3.SQLITE_CORRUPT: "is damaged: bring back a copy or move it away, then run the study "
    "again",
}


def _lock(folder: Path) -> sqlite3.Connection:
    # SQLite's own file lock works on every platform and ends with its process. It is held on a
    # second file, so that others can read the first.
    lock = sqlite3.connect(folder / LOCK, timeout=0.0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise StoreError(
            f"another study is writing to {folder}: wait until it ends, or name another folder "
            "with --out"
        ) from error
    except BaseException:
        lock.close()
        raise
    return lock


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    if not is_ours(connection):
        raise StoreError(
            f"{path} belongs to another program: move it away, or name another folder with --out"
        )
    version = version_of(connection)
    if version > VERSION:
        raise StoreError(
            f"{path} is of version {version}, from a newer byheart; this one knows up to "
            f"{VERSION}: upgrade byheart, or name another folder with --out"
        )
    if not is_whole(connection) or (version == 0 and not is_blank(connection)):
        raise damaged(path)

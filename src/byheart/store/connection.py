"""Opening the file: who may write, and what is said when it cannot be read or written."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from byheart.errors import StoreError
from byheart.store.distrust import distrust, require_own
from byheart.store.schema import (
    VERSION,
    has_triggers,
    is_blank,
    is_ours,
    is_whole,
    migrate,
    version_of,
)

FILE = "results.sqlite"
LOCK = ".results.lock"
_LITTLE = 2**16
"""Bytes of room below which a failed write is called a full disk; SQLite does not always say."""
_DAMAGE = ("Could not decode", "unsupported file format")
"""What is said of damage without its code."""
_ODD = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
"""What only a file can bring about that holds what byheart would not have written."""
PATIENCE = 5.0
"""Seconds to wait for another program that holds the file."""


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
    require_own(path)
    require_own(folder / LOCK)
    with telling(path):
        lock = _lock(folder)
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                distrust(connection)
                _refuse_strangers(connection, path)
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
    connection = _connect_as_it_is(folder)
    if version_of(connection) == VERSION:
        return connection
    connection.close()
    for writer in connect_to_write(folder):
        writer.close()
    return connect_to_read(folder)


def connect_to_copy(folder: Path) -> sqlite3.Connection:
    """Open the store of a folder for reading, and leave the file as it is, however old.

    An older file is copied to a temporary one, and the copy brought up to date.

    Raises:
        StoreError: there is none, it is empty, not ours, or cannot be read.
    """
    connection = _connect_as_it_is(folder)
    if version_of(connection) == VERSION:
        return connection
    with contextlib.closing(connection), telling(folder / FILE):
        # SQLite's name for a file of its own, which goes with the connection.
        copy = sqlite3.connect("", isolation_level=None)
        try:
            connection.backup(copy)
            migrate(copy)
        except BaseException:
            copy.close()
            raise
    return copy


def _connect_as_it_is(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    require_own(path)
    if not path.is_file():
        raise StoreError(f"no {FILE} in {folder}: run `byheart study --out {folder}` first")
    # Readers too leave notes beside the file, and only who may write tidies them up at the end.
    # Where none may, nobody writes, and SQLite can be told so, unless a writer that was killed has
    # left what belongs into the file.
    frozen = not os.access(folder, os.W_OK) and not Path(f"{path}-wal").exists()
    address = f"{path.absolute().as_uri()}?{'mode=ro&immutable=1' if frozen else 'mode=rw'}"
    with telling(path):
        connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
        try:
            distrust(connection)
            connection.execute("PRAGMA query_only = ON")
            _refuse_strangers(connection, path)
            empty = version_of(connection) == 0
        except BaseException:
            connection.close()
            raise
    if empty:
        connection.close()
        raise StoreError(f"{path} is empty: run `byheart study --out {folder}` first")
    return connection


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
def telling(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into one line that names the file and the remedy."""
    try:
        yield
    except UnicodeDecodeError as error:
        # What SQLite says of a damaged name quotes it, and Python cannot read that.
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
    # SQLite's own file lock: the same on every platform, and gone with the process that held it,
    # however that ended. Held on a second file so that others may read the first.
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


def _refuse_strangers(connection: sqlite3.Connection, path: Path) -> None:
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
    if has_triggers(connection):
        raise StoreError(
            f"{path} holds triggers, which would change what is stored: drop them, or name another "
            "folder with --out"
        )
    if not is_whole(connection) or (version == 0 and not is_blank(connection)):
        raise damaged(path)

"""The tables, and the steps that bring an older file up to them."""

from __future__ import annotations

import functools
import sqlite3
from contextlib import closing

APPLICATION = 0x62796872
"""``PRAGMA application_id`` of our files: "byhr". Another program's file is left alone."""

_VERSION_1 = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    facts TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('converged', 'budget', 'diverged', 'failed')),
    epochs INTEGER NOT NULL,
    seconds REAL NOT NULL,
    threads INTEGER NOT NULL,
    device TEXT NOT NULL,
    reason TEXT NOT NULL,
    finished TEXT NOT NULL,
    seal TEXT NOT NULL
);
CREATE TABLE arrays (
    key TEXT NOT NULL REFERENCES trials (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,
    checksum TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (key, name)
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    facts TEXT NOT NULL
);
"""

_VERSION_2 = """
ALTER TABLE trials ADD COLUMN stamp TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN stamp TEXT NOT NULL DEFAULT '';
"""

# The stamps of version 2 (checksums over times, and over what a run was asked for) are no longer
# written or checked. The columns stay: SQLite before 3.35 cannot drop one.
_VERSION_3 = "UPDATE trials SET stamp = ''; UPDATE runs SET stamp = '';"

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Step i brings a file from version i to version i + 1. Steps are added, never changed."""

VERSION = len(MIGRATIONS)
READABLE = 2
"""The oldest version whose tables readers use as they are: later steps changed no table."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_ours(connection: sqlite3.Connection) -> bool:
    """Return whether the file is a store of ours, or empty."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
        return True
    return version_of(connection) == 0 and is_blank(connection)


def is_blank(connection: sqlite3.Connection) -> bool:
    """Return whether the file holds no table yet."""
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the newest version, one step and one transaction at a time."""
    _migrate(connection, VERSION)


def is_whole(connection: sqlite3.Connection) -> bool:
    """Return whether the file has the tables of its version; users may have added others."""
    version = version_of(connection)
    if not 0 <= version <= VERSION:
        return False
    return _tables(connection) >= _expected(version, MIGRATIONS)


@functools.cache
def _expected(version: int, steps: tuple[str, ...]) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _migrate(connection, version)
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _migrate(connection: sqlite3.Connection, target: int) -> None:
    for version in range(version_of(connection), target):
        # executescript commits on its own, so each step has its own transaction: if the process is
        # killed in the middle of it, the version before stays.
        connection.executescript(
            f"BEGIN IMMEDIATE;{MIGRATIONS[version]}"
            f"INSERT OR REPLACE INTO meta VALUES ('schema', '{version + 1}');"
            f"PRAGMA application_id = {APPLICATION};"
            f"PRAGMA user_version = {version + 1};"
            "COMMIT;"
        )

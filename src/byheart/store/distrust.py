"""An SQLite file may come from anyone: what its schema and its values may do to who opens it.

Source: "Defense Against The Dark Arts", https://www.sqlite.org/security.html
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from byheart.errors import StoreError

MOST_BYTES = 2**28
"""Bytes of one value. No record holds an array near that, and a header can claim any."""


def distrust(connection: sqlite3.Connection) -> None:
    """Let a file's schema call no function that does more than compute, and no value be endless."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def require_own(path: Path) -> None:
    """Refuse a link: who wrote it chose what would be read, and written, by whom opens it.

    Raises:
        StoreError: the path is one.
    """
    if path.is_symlink():
        raise StoreError(f"{path} is a link: put the file itself there, or name its folder instead")

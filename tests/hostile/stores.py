"""Stores from strangers: sound ones, and what becomes of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tests.store.examples import a_record, a_trial

from byheart.store import Store, codec

COLUMNS = {
    "meta": ("name", "value"),
    "trials": ("key", "facts", "finished", "seal", *codec.SEALED),
    "arrays": ("key", "name", "dtype", "shape", "checksum", "data"),
    "runs": ("id", "started", "facts"),
}
CELLS = [(table, column) for table, columns in COLUMNS.items() for column in columns]

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(
        [
            "[]", "{}", "null", "[1", '"x"', "[-1]", "[1099511627776]", '{"data": 1}', "[" * 9999,
            '{"probes": [1]}', '{"probes": {"name": 1}}', "|O8", "<M8[ns]", "<U9", "f8,i4", "<f8",
            "../../x", "/etc/passwd", "a/../b", "\x1b[31m", "=1+1", "</script>", "", "x" * 10_000,
        ]
    ),
)  # fmt: skip
"""What a cell may hold whatever its column says: SQLite keeps any type."""

SCHEMAS = (
    "CREATE VIEW more AS SELECT * FROM trials",
    "CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
    "SELECT x FROM c",
    "CREATE TABLE more (x)",
    "CREATE INDEX more ON trials (printf('%.*c', 9, 'x'))",
    "CREATE TRIGGER more AFTER INSERT ON runs BEGIN DELETE FROM trials; END",
    "DROP TABLE runs",
    "ALTER TABLE trials RENAME COLUMN facts TO fiction",
    "ALTER TABLE trials ADD COLUMN more TEXT",
    "DROP TABLE arrays; CREATE VIEW arrays AS SELECT key, 'a' AS name, '<f8' AS dtype, "
    "'[1]' AS shape, '' AS checksum, zeroblob(8) AS data FROM trials",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -1",
    "PRAGMA application_id = 0",
    "DELETE FROM meta",
    "DELETE FROM runs",
    "DELETE FROM trials",
)
"""What a stranger may have done to the tables."""


def a_store(folder: Path) -> bytes:
    """Make a small store, and return its file."""
    with Store.open(folder) as store:
        store.add([a_record(a_trial(seed)) for seed in range(2)])
        store.add([a_record(a_trial(9), "failed", reason="out of memory")])
        store.save_run({"claims": ["easy-examples"], "versions": {}, "command": ["byheart"]})
    return (folder / "results.sqlite").read_bytes()


def write(folder: Path, content: bytes) -> Path:
    """Put a file in the place of a store, with nothing of an earlier one beside it."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink()
    (folder / "results.sqlite").write_bytes(content)
    return folder


def changed(folder: Path, change: Callable[[sqlite3.Connection], object]) -> Path:
    """Change a store as its maker could, and return its folder."""
    with closing(sqlite3.connect(folder / "results.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        change(connection)
    return folder


def set_cell(
    connection: sqlite3.Connection, cell: tuple[str, str], value: Any, *, sealed: bool
) -> None:
    """Write any value into a column, and make all checksums anew if its maker did."""
    table, column = cell
    try:
        connection.execute(f"UPDATE OR REPLACE {table} SET {column} = ?", (value,))
    except sqlite3.IntegrityError:
        return
    if sealed:
        seal_anew(connection)


def seal_anew(connection: sqlite3.Connection) -> None:
    """Make every checksum fit what is there, so that nothing but its sense is wrong."""
    for row, *array in connection.execute(
        "SELECT rowid, dtype, shape, data FROM arrays"
    ).fetchall():
        if isinstance(array[2], bytes):
            checksum = codec._checksum(*array)
            connection.execute("UPDATE arrays SET checksum = ? WHERE rowid = ?", (checksum, row))
    columns = ", ".join(codec.SEALED)
    for key, *values in connection.execute(f"SELECT key, {columns} FROM trials").fetchall():
        sums = dict(connection.execute("SELECT name, checksum FROM arrays WHERE key = ?", (key,)))
        try:
            seal = codec.seal(key, dict(zip(codec.SEALED, values, strict=True)), sums)
        except TypeError:
            continue
        connection.execute("UPDATE trials SET seal = ? WHERE key = ?", (seal, key))

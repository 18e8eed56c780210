"""A file that cannot be used gets one line that names it and the remedy, and stays as it is."""

import os
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tests.store.examples import a_record, a_trial

from byheart.errors import StoreError
from byheart.record import Record
from byheart.store import Store, connection, schema

NEXT = schema.VERSION + 1


def refused(folder, match, *, create=True):
    with pytest.raises(StoreError, match=match) as caught:
        Store.open(folder, create)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def filled(folder):
    with Store.open(folder) as store:
        store.add([a_record(a_trial(seed)) for seed in range(40)])
    return folder / "results.sqlite"


@pytest.mark.parametrize("out", ["file", "file/out"])
def test_a_folder_that_is_or_lies_in_a_file_is_named(tmp_path, out):
    (tmp_path / "file").write_text("not a folder")
    refused(tmp_path / out, r"cannot write .*--out")


@pytest.mark.parametrize("name", ["results.sqlite", ".results.lock"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    refused(tmp_path, r"results.sqlite cannot be opened: change the permissions.*--out")


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_not_sqlite_is_refused(tmp_path, create):
    (tmp_path / "results.sqlite").write_text("key,outcome\n" * 100)
    refused(tmp_path, "is not a SQLite file: move it away", create=create)
    assert (tmp_path / "results.sqlite").read_text().startswith("key,outcome")


@pytest.mark.parametrize("create", [True, False])
def test_another_programs_database_is_refused(tmp_path, create):
    other = sqlite3.connect(tmp_path / "results.sqlite")
    other.execute("CREATE TABLE bookmarks (url)")
    other.close()
    refused(tmp_path, "belongs to another program", create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_file_is_refused(tmp_path, create):
    newer = sqlite3.connect(filled(tmp_path))
    newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    refused(tmp_path, rf"of version {schema.VERSION + 1}.*upgrade byheart", create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_damaged_file_is_refused_at_opening_or_reading(tmp_path, create):
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    trials = [a_trial(seed) for seed in range(40)]
    with pytest.raises(StoreError, match=r"results.sqlite is damaged: bring back a copy"):  # noqa: SIM117
        with Store.open(tmp_path, create) as store:
            store.records(trials)


def test_a_truncated_file_is_refused_at_opening_or_reading(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(StoreError, match=r"results.sqlite is damaged"):  # noqa: SIM117
        with Store.open(tmp_path) as store:
            store.records([a_trial(seed) for seed in range(40)])


def test_reading_where_nothing_is_stored_says_what_to_run(tmp_path):
    refused(tmp_path, "no results.sqlite in .*name the folder of a study", create=False)
    (tmp_path / "results.sqlite").touch()
    refused(tmp_path, "is empty: run `byheart study --out", create=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.sqlite"]


def test_an_empty_file_left_by_a_kill_becomes_a_store(tmp_path):
    (tmp_path / "results.sqlite").touch()
    filled(tmp_path)


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path):
    with Store.open(tmp_path) as first:
        refused(tmp_path, "another study is writing to .*wait until it ends")
        first.add([a_record(a_trial())])
    with Store.open(tmp_path) as second:
        assert second.missing([a_trial()]) == []


def test_a_second_writer_in_another_process_is_refused(tmp_path):
    script = "import sys; from byheart.store import Store; Store.open(sys.argv[1])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with Store.open(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], env=env, capture_output=True, text=True
        )
    assert "another study is writing" in second.stderr


def test_a_file_locked_by_another_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    other = sqlite3.connect(filled(tmp_path), isolation_level=None)
    with Store.open(tmp_path) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked by another program: close it"):
            store.add([a_record(a_trial(99))])
        other.execute("ROLLBACK")
        store.add([a_record(a_trial(99))])
    other.close()


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path):
    path = filled(tmp_path)
    trials = [a_trial(seed) for seed in range(50)]
    big = [Record(trial, "budget", 1, {"a": np.zeros(9999)}) for trial in trials[40:]]
    with Store.open(tmp_path) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(StoreError, match=r"disk is full.*nothing that finished is lost"):
            store.add(big)
        assert store.missing(trials) == trials[40:]
    assert path.exists()
    with Store.open(tmp_path) as store:
        assert store.verify() == []
        store.add(big)
        assert store.missing(trials) == []


def test_a_disk_too_full_to_open_the_store_is_called_full(tmp_path, monkeypatch):
    # Without room for the index of its log, SQLite speaks of a disk error.
    filled(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    path = tmp_path / "results.sqlite"
    with pytest.raises(StoreError, match="the disk is full"), connection.explained_errors(path):
        raise failing(sqlite3.SQLITE_IOERR_SHMSIZE)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="disk error"), connection.explained_errors(path):
        raise failing(sqlite3.SQLITE_IOERR_READ)


def failing(code):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def test_a_folder_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    filled(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with Store.open(tmp_path, create=False) as store:
        assert len(store.list()) == 40
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".results.lock",
            "results.sqlite",
        ]


def test_an_older_file_is_brought_up_to_date_step_by_step(tmp_path, monkeypatch):
    filled(tmp_path)
    step = "ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT '';"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    monkeypatch.setattr(schema, "VERSION", NEXT)
    monkeypatch.setattr(connection, "VERSION", NEXT)
    monkeypatch.setattr(connection, "READABLE", NEXT)
    with Store.open(tmp_path, create=False) as store:
        assert schema.version_of(store._connection) == NEXT
        assert store._connection.execute("SELECT count(host) FROM runs").fetchone() == (0,)
        assert len(store.records([a_trial(seed) for seed in range(40)])) == 40


def test_a_migration_that_breaks_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    filled(tmp_path)
    step = "DROP TABLE runs; SELECT nonsense FROM nowhere;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    monkeypatch.setattr(schema, "VERSION", NEXT)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store.open(tmp_path)
    monkeypatch.undo()
    with Store.open(tmp_path) as store:
        assert schema.version_of(store._connection) == NEXT - 1
        assert store.last_run() is None

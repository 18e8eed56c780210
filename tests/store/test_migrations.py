"""A store of every schema version is read, and brought up to date, with every value."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from tests.store.keep_version import kept_file, what_is_in

from byheart.store import Store, schema

VERSIONS = range(1, schema.VERSION + 1)


def copy_of(version, folder):
    """Return what lay in a kept store when it was kept, after copying it to a folder."""
    shutil.copy(kept_file(version), folder / "results.sqlite")
    return json.loads(kept_file(version).with_suffix(".json").read_text(encoding="utf-8"))


def test_a_file_of_every_version_is_kept():
    for version in VERSIONS:
        with closing(
            sqlite3.connect(f"{kept_file(version).as_uri()}?immutable=1", uri=True)
        ) as file:
            assert schema.version_of(file) == version, "run `python -m tests.store.keep_version`"


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_store_gives_what_was_stored_and_verifies(tmp_path, version, create):
    content = copy_of(version, tmp_path)
    with Store.open(tmp_path, create) as store:
        oldest = schema.VERSION if create else schema.READABLE
        assert schema.version_of(store._connection) >= oldest
        assert store.verify() == []
    assert what_is_in(tmp_path) == content


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_a_step_that_breaks_leaves_the_version_before(tmp_path, version, monkeypatch):
    content = copy_of(version, tmp_path)
    steps = list(schema.MIGRATIONS)
    steps[version] += "SELECT nonsense FROM nowhere;"
    monkeypatch.setattr(schema, "MIGRATIONS", tuple(steps))
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store.open(tmp_path)
    monkeypatch.undo()
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as file:
        assert schema.version_of(file) == version
    assert what_is_in(tmp_path) == content

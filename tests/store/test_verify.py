"""Whatever happens to the file, verify finds it, says what to do, and doing it mends the file."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.store.examples import a_record, a_trial

from byheart.errors import StoreError
from byheart.store import Store
from byheart.store.codec import SEALED, ending, facts_key, seal


def test_a_summary_says_what_was_trained_and_how_it_ended(store):
    rows = store.list()
    assert [row.key for row in rows] == [a_trial(seed).key for seed in range(4)]
    assert rows[1].facts["algorithm"]["network"]["hidden"] == [8]
    assert (rows[1].outcome, rows[1].epochs, rows[1].seconds, rows[1].arrays) == (
        "budget", 3, 1.1, 4
    )  # fmt: skip
    assert rows[1].size == 16 + 16 + 24 + 6
    assert (rows[3].outcome, rows[3].reason, rows[3].arrays, rows[3].size) == (
        "failed", "killed", 0, 0
    )  # fmt: skip


def test_a_sound_store_has_no_problems(store):
    assert store.verify() == []


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE arrays SET data = zeroblob(16) WHERE key = :k AND name LIKE '%train'", "checksum"),
        ("UPDATE arrays SET shape = '[1]' WHERE key = :k AND name LIKE '%train'", "checksum"),
        ("UPDATE arrays SET dtype = '<i8' WHERE key = :k AND name LIKE '%train'", "checksum"),
        ("DELETE FROM arrays WHERE key = :k AND name LIKE '%train'", "lost"),
        ("INSERT INTO arrays SELECT key, 'x', dtype, shape, checksum, data FROM arrays "
         "WHERE key = :k LIMIT 1", "one too many"),
        ("UPDATE trials SET outcome = 'converged' WHERE key = :k", "outcome was changed"),
        ("UPDATE trials SET facts = replace(facts, '0.1', '0.2') WHERE key = :k", "facts"),
        ("UPDATE trials SET facts = x'00ff' WHERE key = :k", "facts"),
        ("UPDATE trials SET seconds = x'00ff' WHERE key = :k", "outcome was changed"),
        ("UPDATE arrays SET data = 'text' WHERE key = :k AND name LIKE '%train'", "array"),
    ],
)  # fmt: skip
def test_every_kind_of_damage_is_found_and_mended(store, damage, what):
    trial = a_trial(1)
    store._connection.execute(damage, {"k": trial.key})
    problems = store.verify()
    assert {problem.key for problem in problems} == {trial.key}
    assert any(what in problem.what for problem in problems)
    assert all("run the study again" in problem.remedy for problem in problems)
    store.forget([problem.key for problem in problems])
    assert store.verify() == []
    assert store.missing([trial]) == [trial]


def test_arrays_without_a_record_are_found_and_mended(store):
    key = a_trial(1).key
    store._connection.execute("PRAGMA foreign_keys = OFF")
    store._connection.execute("DELETE FROM trials WHERE key = ?", (key,))
    problems = store.verify()
    assert [(problem.key, problem.what) for problem in problems] == [
        (key, "arrays without a record")
    ]
    store.forget([key])
    assert store.verify() == []


def test_facts_of_an_older_measure_are_no_problem(store):
    # A measure of another version gives other facts and another key; the record is merely unused.
    text = '{"measure":"of another version"}'
    key = facts_key(text)
    ended = ending(a_record(a_trial()))
    store._connection.execute(
        "INSERT INTO trials VALUES (?, ?, 'budget', ?, ?, ?, ?, ?, '', ?, '')",
        (key, text, *list(ended.values())[1:], seal(key, ended, {})),
    )
    assert store.verify() == []
    assert len(store.list()) == 5


def test_a_run_that_cannot_be_read_is_found(store):
    store.save_run({"claims": ["time-size"]})
    assert store.verify() == []
    store._connection.execute("UPDATE runs SET facts = '{'")
    (problem,) = store.verify()
    assert problem.key == "" and "asked for" in problem.what


def test_a_damaged_index_is_a_problem_of_the_file(store):
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_arrays_1'"
    (page,) = store._connection.execute(query).fetchone()
    store.close()
    path = store.folder / "results.sqlite"
    content = bytearray(path.read_bytes())
    content[page * 4096 - 8] ^= 1
    path.write_bytes(content)
    with Store.open(store.folder, create=False) as damaged:
        problems = damaged.verify()
    assert any(problem.what.startswith("SQLite: ") for problem in problems)
    assert any("byheart store merge" in problem.remedy for problem in problems)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small store, byte for byte, and every value in it that results depend on."""
    folder = tmp_path_factory.mktemp("whole")
    with Store.open(folder) as store:
        store.add([a_record(a_trial(seed)) for seed in range(2)])
        store.add([a_record(a_trial(2), "failed", reason="killed")])
        store.save_run({"claims": ["time-size"], "radius": 0.3 / 255})
        store.forget([a_trial(1).key])
    content = (folder / "results.sqlite").read_bytes()
    return content, every_value(folder), tmp_path_factory.mktemp("flipped")


def every_value(folder):
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        # Times, and what a run was asked for, have no checksum.
        trials = f"key, facts, seal, {', '.join(SEALED)} FROM trials"
        parts = ("* FROM meta", trials, "* FROM arrays")
        return names, [list(connection.execute(f"SELECT {part}")) for part in parts]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(where=0.0, bit=0)
def test_a_flipped_byte_is_found_or_changed_nothing(whole, where, bit):
    content, _, _ = whole
    assert_found_or_nothing_changed(whole, int(where * len(content)), bit)


@pytest.mark.parametrize("bit", [0, 1, 6])
def test_a_flipped_byte_of_the_header_is_found_or_changed_nothing(whole, bit):
    for at in range(100):
        assert_found_or_nothing_changed(whole, at, bit)


def assert_found_or_nothing_changed(whole, at, bit):
    content, values, folder = whole
    shutil.rmtree(folder)
    folder.mkdir()
    flipped = bytearray(content)
    flipped[at] ^= 1 << bit
    (folder / "results.sqlite").write_bytes(flipped)
    try:
        with Store.open(folder, create=False) as store:
            if store.verify():
                return
    except StoreError:
        return
    assert every_value(folder) == values, f"bit {bit} of byte {at} was changed unseen"

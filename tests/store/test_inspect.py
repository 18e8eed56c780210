"""Whatever happens to the file, verify finds it, says what to do, and doing it mends the file."""

import pytest
from tests.store.examples import a_record, a_trial

from byheart.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        store.add([a_record(a_trial(seed)) for seed in range(3)])
        store.add([a_record(a_trial(3), "failed", reason="killed")])
        yield store


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
    from byheart.store.codec import ending, facts_key, seal

    text = '{"measure":"of another version"}'
    key = facts_key(text)
    ended = ending(a_record(a_trial()))
    store._connection.execute(
        "INSERT INTO trials VALUES (?, ?, 'budget', ?, ?, ?, ?, ?, '', ?)",
        (key, text, *list(ended.values())[1:], seal(key, ended, {})),
    )
    assert store.verify() == []
    assert len(store.list()) == 5


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

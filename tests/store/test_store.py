"""Records go in whole, come out bit for bit, and survive whatever happens to the process."""

import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from tests.store.examples import a_record, a_trial

from byheart.errors import StoreError
from byheart.record import Record
from byheart.store import Store
from byheart.store.codec import facts_key, facts_text


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "out") as store:
        yield store


def test_a_record_comes_back_bit_for_bit(store):
    record = a_record(a_trial())
    store.add([record])
    back = store.records([record.trial])[record.trial.key]
    assert back.trial == record.trial
    assert (back.outcome, back.epochs, back.threads) == ("budget", 3, 2)
    assert back.seconds == record.seconds
    assert list(back.arrays) == sorted(record.arrays)
    for name, array in record.arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array, strict=True)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.zeros((0, 4), np.float32),
        np.arange(6, dtype=">i8").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12)[::3],
        np.array([np.nan, -0.0, np.inf, 5e-324]),
        np.array([True, False]),
    ],
    ids=["scalar", "empty", "big-endian", "fortran", "strided", "special floats", "bool"],
)
def test_any_numeric_array_comes_back(store, array):
    trial = a_trial()
    store.add([Record(trial, "budget", 1, {"a": array})])
    back = store.records([trial])[trial.key].arrays["a"]
    np.testing.assert_array_equal(back, array, strict=False)
    assert back.shape == array.shape
    assert back.dtype.kind == array.dtype.kind and back.dtype.itemsize == array.dtype.itemsize


def test_objects_are_not_stored(store):
    record = Record(a_trial(), "budget", 1, {"a": np.array([{}], dtype=object)})
    with pytest.raises(TypeError, match="not object"):
        store.add([record])
    assert store.missing([record.trial]) == [record.trial]


def test_numpy_numbers_keep_the_seal(store):
    trial = a_trial()
    store.add([Record(trial, "budget", np.int64(2), seconds=np.float64(3), threads=np.int64(1))])
    assert store.records([trial])[trial.key].epochs == 2
    assert store.verify() == []


def test_missing_are_those_without_a_record_or_with_a_failed_one_each_once(store):
    trials = [a_trial(seed) for seed in range(5)]
    store.add([a_record(trials[1]), a_record(trials[3], "failed", reason="out of memory")])
    assert store.missing([*trials, *trials]) == [trials[0], trials[2], trials[3], trials[4]]


def test_a_failed_record_gives_way_and_a_finished_one_stays(store):
    trial = a_trial()
    store.add([a_record(trial, "failed", reason="killed")])
    assert store.records([trial])[trial.key].reason == "killed"
    store.add([a_record(trial, "diverged")])
    store.add([a_record(trial, "failed")])
    assert store.records([trial])[trial.key].outcome == "diverged"


def test_a_pack_is_stored_whole_or_not_at_all(store):
    trials = [a_trial(0), a_trial(1)]
    bad = Record(trials[1], "budget", 1, {"a": np.array(["text"])})
    with pytest.raises(TypeError):
        store.add([a_record(trials[0]), bad])
    assert store.missing(trials) == trials
    store.add([a_record(trial) for trial in trials])
    assert store.missing(trials) == []


def test_records_stay_after_closing(tmp_path):
    trial = a_trial()
    with Store.open(tmp_path) as store:
        store.add([a_record(trial)])
    store.close()
    with Store.open(tmp_path, create=False) as store:
        assert list(store.records([trial, a_trial(1)])) == [trial.key]


def test_thousands_of_trials_take_a_handful_of_queries(store):
    trials = [a_trial(seed) for seed in range(1200)]
    store.add([a_record(trial) for trial in trials])
    queries = []
    store._connection.set_trace_callback(queries.append)
    assert len(store.records(trials)) == 1200
    assert len(queries) < 12


def test_the_key_of_stored_facts_is_that_of_the_trial():
    trial = a_trial()
    assert facts_key(facts_text(trial)) == trial.key


def test_a_run_comes_back_with_every_float_exact(store):
    assert store.last_run() is None
    store.save_run({"radius": 0.3 / 255, "nested": {"levels": [0.1 + 0.2]}})
    store.save_run({"radius": 0.3 / 255, "nested": {"levels": [0.1 + 0.2]}, "second": True})
    run = store.last_run()
    assert run["radius"] == 0.3 / 255
    assert run["nested"]["levels"] == [0.1 + 0.2]
    assert run["second"] is True
    assert run["started"].endswith("+00:00")


def test_what_was_forgotten_is_missing_again(store):
    trials = [a_trial(0), a_trial(1)]
    store.add([a_record(trial) for trial in trials])
    assert store.forget([trials[0].key, "unknown"]) == 1
    assert store.missing(trials) == [trials[0]]
    assert store.verify() == []


def test_a_reader_reads_while_the_writer_writes(store):
    trial = a_trial()
    with Store.open(store.folder, create=False) as reader:
        assert reader.records([trial]) == {}
        store.add([a_record(trial)])
        assert list(reader.records([trial])) == [trial.key]


def test_a_reader_changes_nothing_and_leaves_nothing_behind(tmp_path):
    Store.open(tmp_path).close()
    with Store.open(tmp_path, create=False) as reader:
        with pytest.raises(StoreError, match="cannot be written"):
            reader.add([a_record(a_trial())])
        assert reader.list() == []
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".results.lock", "results.sqlite"]


def test_a_process_killed_with_9_loses_nothing_it_had_added(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from byheart.store import Store\n"
        "from tests.store.examples import a_record, a_trial\n"
        "store = Store.open(sys.argv[1])\n"
        "store.add([a_record(a_trial(0)), a_record(a_trial(1))])\n"
        "store._connection.execute('BEGIN IMMEDIATE')\n"
        "store._add(a_record(a_trial(2)), 'now')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=_env())
    assert killed.returncode == -9
    trials = [a_trial(seed) for seed in range(3)]
    with Store.open(tmp_path) as store:
        assert store.missing(trials) == [trials[2]]
        assert store.verify() == []


def test_the_store_does_not_wait_for_torch():
    script = "import sys, byheart.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env=_env()).returncode == 0


def test_other_tools_open_the_file(store):
    store.add([a_record(a_trial())])
    other = sqlite3.connect(store.folder / "results.sqlite")
    assert other.execute("SELECT outcome, count(*) FROM trials").fetchall() == [("budget", 1)]
    other.close()


def test_a_damaged_record_is_named_when_read(store):
    trial = a_trial()
    store.add([a_record(trial)])
    store._connection.execute("UPDATE arrays SET data = zeroblob(16) WHERE name = 'accuracy.train'")
    with pytest.raises(StoreError, match=rf"{trial.key}.*checksum.*--repair"):
        store.records([trial])


def _env():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

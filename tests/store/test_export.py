"""What is exported reads back in other tools with the same numbers."""

import csv
import sys

import numpy as np
import pandas as pd
import pytest
from tests.store.examples import a_record, a_trial

from byheart.errors import InputError, StoreError
from byheart.record import Record
from byheart.store import Store
from byheart.store.tables import _trials_to_parquet


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "out") as store:
        store.add([a_record(a_trial(0)), a_record(a_trial(1, labels=0.5), "diverged")])
        yield store


def test_trials_become_one_row_each_with_flat_facts(store, tmp_path):
    path, _ = store.export(tmp_path / "csv")
    table = pd.read_csv(path)
    assert path.name == "trials.csv"
    assert list(table["key"]) == [a_trial(0).key, a_trial(1, labels=0.5).key]
    assert list(table["data.labels"]) == [0.1, 0.5]
    assert list(table["algorithm.network.hidden"]) == [8, 8]
    assert list(table["probes.accuracy.epochs"]) == ["0 3", "0 3"]
    assert list(table["outcome"]) == ["budget", "diverged"]


def test_arrays_become_one_row_a_value(store, tmp_path):
    _, path = store.export(tmp_path / "csv", "csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = [r for r in rows if (r["key"], r["array"]) == (a_trial(0).key, "critical.validation")]
    expected = a_record(a_trial(0)).arrays["critical.validation"]
    assert [row["index"] for row in own] == ["0 0", "0 1", "0 2", "1 0", "1 1", "1 2"]
    assert [float(row["value"]) for row in own] == expected.astype(float).ravel().tolist()


def test_arrays_become_one_npz_without_pickle(store, tmp_path):
    _, path = store.export(tmp_path / "npz", "npz")
    with np.load(path, allow_pickle=False) as arrays:
        assert len(arrays.files) == 8
        for name, expected in a_record(a_trial(0)).arrays.items():
            np.testing.assert_array_equal(arrays[f"{a_trial(0).key}/{name}"], expected, strict=True)


def test_an_unknown_format_is_refused_with_the_nearest(store, tmp_path):
    with pytest.raises(InputError, match="did you mean 'npz'"):
        store.export(tmp_path / "x", "npy")


def test_a_folder_that_cannot_be_written_is_named(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to folder .*file/x \(Not a directory\)"):
        store.export(tmp_path / "file" / "x")


def test_a_damaged_array_is_not_exported(store, tmp_path):
    store._connection.execute("UPDATE arrays SET checksum = 'x' WHERE name = 'accuracy.train'")
    with pytest.raises(StoreError, match=r"accuracy.train of trial .* is damaged"):
        store.export(tmp_path / "csv")


def test_parquet_holds_typed_trials_and_exact_arrays(store, tmp_path):
    store.add([a_record(a_trial(2), "failed", reason="killed")])
    trials, arrays = store.export(tmp_path / "parquet", "parquet")
    table = pd.read_parquet(trials)
    assert list(table["key"]) == [a_trial(0).key, a_trial(1, labels=0.5).key, a_trial(2).key]
    assert list(table["data.labels"]) == [0.1, 0.5, 0.1]
    assert table["epochs"].dtype == np.int64
    assert list(table["reason"]) == ["", "", "killed"]
    rows = pd.read_parquet(arrays)
    assert len(rows) == 8
    for row in rows[rows["key"] == a_trial(0).key].itertuples():
        expected = a_record(a_trial(0)).arrays[row.array]
        back = row.values.astype(row.dtype).reshape(row.shape)
        np.testing.assert_array_equal(back, expected, strict=True)


def test_parquet_without_pyarrow_says_what_to_install(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'byheart\[parquet\]'"):
        store.export(tmp_path / "parquet", "parquet")
    assert not (tmp_path / "parquet").exists()


def test_integers_that_parquet_would_round_are_refused(tmp_path):
    with Store.open(tmp_path) as store:
        store.add([Record(a_trial(), "budget", 1, {"big": np.array([2**60 + 1])})])
        with pytest.raises(InputError, match="big holds integers beyond"):
            store.export(tmp_path / "parquet", "parquet")


def test_a_fact_that_is_a_number_here_and_a_word_there_is_written_as_words(tmp_path):
    rows = [{"a": 1, "b": 0.5}, {"a": "many", "b": None}]
    path = _trials_to_parquet(rows, tmp_path / "t.parquet")
    table = pd.read_parquet(path)
    assert list(table["a"]) == ["1", "many"]
    assert table["b"][0] == 0.5 and np.isnan(table["b"][1])

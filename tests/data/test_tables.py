"""Tables: from files and frames to inputs, and one clear line for those that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch

from byheart.data import Dataset, load_dataset
from byheart.errors import DataError, InputError

ROWS = 40


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, ROWS).astype(float),
            "pay": rng.normal(1e6, 10, ROWS),
            "job": rng.choice(["chef", "nurse", "pilot"], ROWS),
            "owner": rng.random(ROWS) < 0.5,
            "joined": pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(ROWS) * 9, unit="D"),
            "good": rng.choice(["no", "yes"], ROWS),
        }
    )
    table.loc[3, "age"] = np.nan
    table.loc[5, "job"] = None
    return table


def notes(dataset: Dataset) -> str:
    assert dataset.prepared is not None
    return "; ".join(dataset.prepared.notes)


def column(dataset: Dataset, feature: str) -> np.ndarray:
    assert dataset.prepared is not None
    return np.asarray(dataset.x[:, dataset.prepared.features.index(feature)])


def test_a_frame_becomes_inputs_by_the_kind_of_each_column() -> None:
    table = frame()
    dataset = load_dataset(table, label="good")
    assert (dataset.kind, dataset.classes) == ("table", ("no", "yes"))
    assert dataset.y.tolist() == (table["good"] == "yes").astype(int).tolist()
    pay = table["pay"]
    np.testing.assert_allclose(column(dataset, "pay"), (pay - pay.mean()) / pay.std(ddof=0), 1e-3)
    age = table["age"].fillna(table["age"].median())
    expected = (age - age.mean()) / age.std(ddof=0)
    np.testing.assert_allclose(column(dataset, "age"), expected, atol=1e-5)
    assert column(dataset, "age is missing").argmax() == 3
    np.testing.assert_array_equal(column(dataset, "job = chef"), table["job"] == "chef")
    assert column(dataset, "job = missing").tolist() == [float(i == 5) for i in range(ROWS)]
    assert len(set(column(dataset, "owner"))) == 2
    assert (np.diff(column(dataset, "joined (day)")) > 0).all()
    assert "1 missing numbers became the median" in notes(dataset)


def test_the_rows_are_kept_as_they_were_given() -> None:
    table = frame()
    prepared = load_dataset(table, label="good").prepared
    assert prepared is not None and prepared.rows is not None
    pd.testing.assert_frame_equal(prepared.rows, table.drop(columns="good"))
    assert prepared.numbers is None


def test_the_index_of_a_frame_names_the_rows() -> None:
    table = frame().set_index(pd.Index([f"row{i}" for i in range(ROWS)]))
    prepared = load_dataset(table, label="good").prepared
    assert prepared is not None and prepared.numbers is not None
    assert prepared.numbers[7] == "row7"


def as_csv(path: Path, **settings: Any) -> Path:
    frame().to_csv(path, index=False, **settings)
    return path


def as_semicolons(path: Path) -> Path:
    return as_csv(path.with_suffix(".csv"), sep=";", decimal=",", encoding="utf-8-sig")


def as_parquet(path: Path) -> Path:
    frame().to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_json_lines(path: Path) -> Path:
    frame().to_json(path.with_suffix(".jsonl"), orient="records", lines=True, date_format="iso")
    return path.with_suffix(".jsonl")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: as_csv(path.with_suffix(".csv")),
        lambda path: as_csv(path.with_suffix(".tsv"), sep="\t"),
        lambda path: as_csv(path.with_suffix(".csv"), encoding="utf-16"),
        as_semicolons,
        as_parquet,
        as_json_lines,
    ],
)
def test_every_file_of_a_table_gives_the_inputs_of_its_frame(tmp_path: Path, write: Any) -> None:
    dataset = load_dataset(write(tmp_path / "people"), label="good")
    expected = load_dataset(frame(), label="good")
    assert dataset.name == "people"
    assert dataset.classes == expected.classes
    torch.testing.assert_close(dataset.x, expected.x, atol=1e-4, rtol=1e-3)


def test_arrow_tables_and_pairs_are_loaded_too() -> None:
    table = frame()
    expected = load_dataset(table, label="good")
    arrow = load_dataset(pyarrow.Table.from_pandas(table), label="good")
    pair = load_dataset((table.drop(columns="good"), table["good"]))
    assert arrow.fingerprint == pair.fingerprint == expected.fingerprint


def test_arrays_with_gaps_are_a_table() -> None:
    x = np.random.default_rng(0).normal(5, 2, (ROWS, 3))
    x[4, 1] = np.nan
    dataset = load_dataset((x, np.arange(ROWS) % 2))
    assert dataset.shape == (4,)
    assert "feature 1 is missing" in getattr(dataset.prepared, "features", ())


def test_columns_without_use_are_left_out_and_named() -> None:
    table = frame().assign(
        id=np.arange(ROWS),
        same="x",
        empty=None,
        note=[f"free text {i}" for i in range(ROWS)],
        tags=[[1]] * ROWS,
    )
    table = pd.concat([table, table.assign(note=table["note"] + "!")], ignore_index=True)
    table["id"] = np.arange(len(table))
    dataset = load_dataset(table, label="good")
    assert "'id' (row numbers), 'same' (one value only), 'empty' (no values)" in notes(dataset)
    assert "'note' (80 different texts in 80 rows), 'tags' (nested values)" in notes(dataset)


def test_rare_categories_share_an_input() -> None:
    job = np.repeat([f"job{i}" for i in range(100)], 5)
    dataset = load_dataset(pd.DataFrame({"job": job, "y": np.arange(500) % 2}), label="y")
    assert dataset.shape == (50,)
    assert "job = another" in getattr(dataset.prepared, "features", ())


def test_texts_that_are_dates_numbers_or_truth_values_are_read_as_such() -> None:
    table = pd.DataFrame(
        {
            "day": [f"{1 + i % 28:02}.{1 + i % 12:02}.2023" for i in range(ROWS)],
            "size": [str(i * 2.5) for i in range(ROWS)],
            "there": [None if i == 3 else i % 3 == 0 for i in range(ROWS)],
            "y": np.arange(ROWS) % 2,
        }
    )
    features = getattr(load_dataset(table, label="y").prepared, "features", ())
    assert features[:3] == ("day (day)", "day (month)", "day (day of the week)")
    assert features[3:] == ("size", "there", "there is missing")


def test_infinite_values_count_as_missing() -> None:
    table = frame()
    table.loc[[1, 2], "pay"] = [np.inf, -np.inf]
    dataset = load_dataset(table, label="good")
    assert "2 infinite values counted as missing" in notes(dataset)
    assert bool(torch.isfinite(dataset.x).all())


def test_a_file_of_another_encoding_is_read_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("größe,y\n1,ja\n2,nein\n4,ja\n".encode("cp1252"))
    dataset = load_dataset(path, label="y")
    assert "x.csv is not UTF-8 and was read as Windows-1252" in notes(dataset)
    assert getattr(dataset.prepared, "features", ()) == ("größe",)


@pytest.mark.parametrize(
    ("content", "label", "message"),
    [
        (b"a,y\n1,no\n2,yes\n", None, r"name the column with the labels \(label=.*'a', 'y'"),
        (b"age,target\n1,no\n2,yes\n", "tagret", "unknown label column 'tagret': did you mean 't"),
        (b"a,y\n1,no\n2,no\n", "y", r"has one class only \('no'\)"),
        (b"a,y\n1,no\n2,\n3,yes\n", "y", "1 of 3 labels in column 'y' are missing.*in row 1"),
        (b"a,y\n1,0.5\n2,0.25\n", "y", "whole numbers or names, and example 0 has 0.5.*'y'"),
        (b"a,y\n1,no\n2,yes,3\n", "y", "with commas between values: Expected 2 fields in line 3"),
        (b"a,y\n1,no,3\n2,yes,3\n", "y", "rows have more values than line 1 has names"),
        (b"1,2\n3,4\n5,6\n", "y", "line 1 .* looks like values: add a line with the names"),
        (b"a,a,y\n1,2,no\n", "y", "two columns called 'a'"),
        (b"", "y", "is empty: give a line of column names"),
        (b"a,y\n", "y", "is empty"),
        (b"\x00\x01\x02", "y", "is no text: it holds bytes of 0"),
        (b"y\nno\nyes\n", "y", "has no column to learn from"),
    ],
)
def test_a_table_that_cannot_be_used_gets_one_clear_line(
    tmp_path: Path, content: bytes, label: str | None, message: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(path, label=label)
    assert "\n" not in str(caught.value)


def test_a_label_column_with_a_value_per_row_is_refused() -> None:
    table = frame().assign(id=[f"a{i}" for i in range(ROWS)])
    with pytest.raises(InputError, match=r"40 different values in 40 .*column 'id'"):
        load_dataset(table, label="id")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            frame().set_index(pd.Index([0, 1, 1, *range(3, ROWS)])),
            "of the frame has '1' twice",
        ),
        (frame().set_axis([*"aabcd", "good"], axis=1), "two columns called 'a'"),
        ({"x": 1}, "cannot load data of type dict"),
        ((np.eye(4), [0, 1]), "4 inputs, 2 labels"),
        ((frame(), [0, 1]), "40 rows, 2 labels"),
    ],
)
def test_data_in_memory_that_cannot_be_used_gets_one_clear_line(table: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(table, label="good" if isinstance(table, pd.DataFrame) else None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"a": 1, "y": "no"}\n{"a": 2\n', r"line 2 is no JSON"),
        ("x.jsonl", b"[1, 2]\n", "row 0 is no object"),
        ("x.jsonl", b'{"a": "\xff"}', "is not UTF-8"),
        ("x.json", b"[1", "is damaged JSON"),
        ("x.parquet", b"PAR1 and then nothing", "is a damaged Parquet file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}:? {message}"):
        load_dataset(tmp_path / name, label="y")


def test_parquet_needs_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_parquet(tmp_path / "people")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'byheart\[parquet\]'"):
        load_dataset(path, label="good")


def test_a_table_has_no_test_part_and_other_sources_have_no_label_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no test part"):
        load_dataset(as_csv(tmp_path / "x.csv"), label="good", split="test")
    with pytest.raises(InputError, match="'digits' is no table, so it has no column 'good'"):
        load_dataset("digits", label="good")


def test_many_columns_of_truth_values_are_one_table() -> None:
    table = pd.DataFrame(np.random.default_rng(0).random((2000, 100)) < 0.5).assign(y=0)
    table.loc[::2, "y"] = 1
    dataset = load_dataset(table, label="y")
    assert dataset.shape == (100,)
    assert "100 of True and False" in notes(dataset)

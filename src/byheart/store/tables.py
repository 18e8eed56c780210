"""Stored records as tables: one row per trial, and CSV, NPZ and Parquet files for other tools."""

from __future__ import annotations

import csv
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from byheart.errors import InputError, StoreError, choose
from byheart.store.codec import StoredArray, decode, require_name
from byheart.texts import cell

_ROWS = 1000
"""Arrays written to Parquet at a time: they need not fit into memory all at once."""
FORMATS = ("csv", "npz", "parquet")


@dataclass(frozen=True)
class Summary:
    """One trial in a line.

    Attributes:
        key: hash of its facts.
        facts: the facts, as JSON values.
        outcome: how it ended.
        epochs: epochs trained.
        seconds: its share of the training time of its pack.
        threads: CPU threads the pack was trained with.
        device: the device that trained it.
        reason: why it failed.
        finished: when it was stored (UTC, ISO 8601).
        arrays: number of arrays.
        size: bytes of all arrays together.
    """

    key: str
    facts: dict[str, Any]
    outcome: str
    epochs: int
    seconds: float
    threads: int
    device: str
    reason: str
    finished: str
    arrays: int
    size: int


_SUMMARY = TypeAdapter(Summary)


def as_object(text: str) -> dict[str, Any]:
    """Return facts from JSON.

    Raises:
        ValueError: the text is not a JSON object.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("facts that are no object")
    return facts


def summaries(connection: sqlite3.Connection) -> list[Summary]:
    """Return one row per trial, in the order they were added.

    Raises:
        ValueError: a value is not of its type.
    """
    rows = connection.execute(
        "SELECT t.key, facts, outcome, epochs, seconds, threads, device, reason, finished, "
        "count(a.name), coalesce(sum(length(a.data)), 0) "
        "FROM trials t LEFT JOIN arrays a ON a.key = t.key GROUP BY t.key ORDER BY t.rowid"
    )
    return [_summary(key, as_object(facts), *rest) for key, facts, *rest in rows]


def _summary(*values: Any) -> Summary:
    names = (field.name for field in fields(Summary))
    return _SUMMARY.validate_python(dict(zip(names, values, strict=True)))


def export(connection: sqlite3.Connection, folder: Path, format: str) -> list[Path]:
    """Write a table of trials, and all arrays; see :meth:`Store.export`."""
    choose("export format", format, FORMATS)
    if format == "parquet":
        _pyarrow()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if format == "parquet":
            rows = [_flatten(row) for row in summaries(connection)]
            trials = _trials_to_parquet(rows, folder / "trials.parquet")
            return [trials, _arrays_to_parquet(_arrays(connection), folder / "arrays.parquet")]
        trials = _write_trials(summaries(connection), folder / "trials.csv")
        write_arrays = _write_long if format == "csv" else _write_npz
        return [trials, write_arrays(connection, folder / f"arrays.{format}")]
    except OSError as error:
        raise InputError(
            f"cannot write to folder {folder} ({error.strerror}): name another"
        ) from error


def _write_trials(rows: list[Summary], path: Path) -> Path:
    flat = [_flatten(row) for row in rows]
    # Trials of different studies have different probes: a column that only some have stays empty.
    columns = list(dict.fromkeys(name for row in flat for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writerow({name: cell(name) for name in columns})
        writer.writerows({name: cell(value) for name, value in row.items()} for row in flat)
    return path


def _flatten(row: Summary) -> dict[str, Any]:
    flat: dict[str, Any] = {"key": row.key}
    facts = dict(row.facts)
    probes = {probe["name"]: probe for probe in facts.pop("probes", [])}
    flat.update(_leaves({**facts, "probes": probes}))
    ended = ("outcome", "epochs", "seconds", "threads", "device", "reason", "finished")
    flat.update({name: getattr(row, name) for name in ended})
    return flat


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for inner, child in value.items():
            yield from _leaves(child, f"{name}.{inner}" if name else inner)
    elif isinstance(value, list):
        yield name, " ".join(str(item) for item in value)
    else:
        yield name, value


def _write_long(connection: sqlite3.Connection, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("key", "array", "index", "value"))
        for key, name, array in _arrays(connection):
            for index, value in np.ndenumerate(array):
                # str of a Python float is the shortest text that reads back as the same bits.
                writer.writerow((key, name, " ".join(map(str, index)), value.item()))
    return path


def _write_npz(connection: sqlite3.Connection, path: Path) -> Path:
    # Array by array, as numpy.savez would need all of them in memory.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, name, array in _arrays(connection):
            with archive.open(f"{key}/{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return path


def _arrays(connection: sqlite3.Connection) -> Iterator[tuple[str, str, np.ndarray]]:
    query = "SELECT key, name, dtype, shape, checksum, data FROM arrays ORDER BY key, name"
    for key, name, *stored in connection.execute(query):
        try:
            yield require_name(key), require_name(name), decode(StoredArray(*stored))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"array {name} of trial {key} is damaged ({error}): run `byheart store verify DIR "
                "--repair`, then the study again"
            ) from error


def _pyarrow() -> Any:
    """Return the library that writes Parquet.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow: pip install 'byheart[parquet]', or export as csv or npz"
        ) from error
    return pyarrow


def _trials_to_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write one row per trial; a fact that only some have is null in the others."""
    arrow = _pyarrow()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = {name: _column(arrow, [row.get(name) for row in rows]) for name in columns}
    arrow.parquet.write_table(arrow.table(table), path)
    return path


def _arrays_to_parquet(arrays: Iterable[tuple[str, str, np.ndarray]], path: Path) -> Path:
    """Write one row per array: key, name, dtype, shape, and its values in C order as float64."""
    arrow = _pyarrow()
    numbers = arrow.list_(arrow.float64())
    schema = arrow.schema(
        [
            ("key", arrow.string()),
            ("array", arrow.string()),
            ("dtype", arrow.string()),
            ("shape", arrow.list_(arrow.int64())),
            ("values", numbers),
        ]
    )
    rest = iter(arrays)
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        while some := list(islice(rest, _ROWS)):
            rows = [
                {
                    "key": key,
                    "array": name,
                    "dtype": array.dtype.name,
                    "shape": list(array.shape),
                    "values": _exact(array, name).ravel(),
                }
                for key, name, array in some
            ]
            writer.write_table(arrow.Table.from_pylist(rows, schema))
    return path


def _exact(array: np.ndarray, name: str) -> np.ndarray:
    """Return the same values in float64, which holds every number that is measured."""
    if array.dtype.kind in "iu" and np.abs(array.astype(float)).max(initial=0.0) > 2.0**53:
        raise InputError(f"array {name} holds integers beyond 2^53: export it as npz")
    return array.astype(np.float64)


def _column(arrow: Any, values: list[Any]) -> Any:
    try:
        return arrow.array(values)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError):  # numbers in some trials, words in others
        return arrow.array([None if value is None else str(value) for value in values])

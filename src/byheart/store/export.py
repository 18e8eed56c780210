"""The store as CSV, NPZ and Parquet files, for other tools."""

from __future__ import annotations

import csv
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from byheart.errors import InputError, StoreError, choose
from byheart.store import parquet
from byheart.store.codec import StoredArray, decode, require_name
from byheart.store.distrust import require_own
from byheart.store.inspect import Summary, summaries
from byheart.texts import cell

FORMATS = ("csv", "npz", "parquet")


def export(connection: sqlite3.Connection, folder: Path, format: str) -> list[Path]:
    """Write a table of trials, and all arrays; see :meth:`Store.export`."""
    choose("export format", format, FORMATS)
    if format == "parquet":
        parquet.pyarrow()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("trials", "arrays"):
            for kind in FORMATS:
                require_own(folder / f"{name}.{kind}")
        if format == "parquet":
            rows = [_flatten(row) for row in summaries(connection)]
            trials = parquet.write_trials(rows, folder / "trials.parquet")
            return [trials, parquet.write_arrays(_arrays(connection), folder / "arrays.parquet")]
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

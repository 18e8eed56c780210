"""Tables as Parquet files: typed, compressed, read by every tool for data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from byheart.errors import InputError

_ROWS = 1000
"""Arrays written at a time: all of them need not fit into memory."""


def pyarrow() -> Any:
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


def write_trials(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write one row per trial; a fact that only some have is null in the others."""
    arrow = pyarrow()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = {name: _column(arrow, [row.get(name) for row in rows]) for name in columns}
    arrow.parquet.write_table(arrow.table(table), path)
    return path


def write_arrays(arrays: Iterable[tuple[str, str, np.ndarray]], path: Path) -> Path:
    """Write one row per array: key, name, dtype, shape, and its values in C order as float64."""
    arrow = pyarrow()
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

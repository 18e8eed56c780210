"""Tables from files: CSV with any delimiter, Parquet, and JSON lines."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from byheart.data.files import require_file, require_room
from byheart.errors import DataError, InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 2**16
"""Bytes of a file that tell its delimiter and encoding."""
ROWS = 200
"""Rows of the sample that are looked at."""
OTHER_ENCODING = "cp1252"
"""The usual encoding of a text that is not UTF-8: Windows' code page of Western Europe."""
NO_VALUE = (
    "", " ", "?", " ?", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null",
    "None", "NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""What stands for a missing value: that of pandas, blanks and question marks."""
_DECIMAL_COMMA = re.compile(r"^-?\d+,\d+$")
_NUMBER = re.compile(r"^-?[\d.,]+(e-?\d+)?$", re.IGNORECASE)


def read_frame(path: Path, text: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table from a file; its ending says how.

    Args:
        path: a file that ends in .csv, .tsv, .txt, .parquet, .jsonl, .ndjson or .json.
        text: a column that is read as text, whatever it holds.

    Returns:
        The table with rows 0, 1, ..., and remarks on how it was read.

    Raises:
        DataError: the file is damaged, or is not what its ending says.
        InputError: a package that reads it is not installed.
    """
    require_file(path)
    try:
        return READERS[path.suffix.lower()](path, text)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_csv(path: Path, text: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    encoding, notes = _encoding(path), []
    try:
        frame, delimiter = _parse_csv(path, encoding, text)
    except UnicodeDecodeError:
        encoding = OTHER_ENCODING
        try:
            frame, delimiter = _parse_csv(path, encoding, text)
        except UnicodeDecodeError:
            raise DataError(f"{path} is neither UTF-8 nor Windows-1252: save it as UTF-8") from None
        notes.append(f"{path.name} is not UTF-8 and was read as Windows-1252")
    if delimiter != "," and path.suffix.lower() == ".csv":
        notes.append(f"{path.name} was read with {DELIMITERS[delimiter]} between values")
    return frame, tuple(notes)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in head:
        raise DataError(f"{path} is no text: it holds bytes of 0; save it as CSV in UTF-8")
    return "utf-8-sig" if head[:3] == b"\xef\xbb\xbf" else "utf-8"


def _parse_csv(path: Path, encoding: str, text: str | None) -> tuple[pd.DataFrame, str]:
    rows, delimiter = _first_rows(path, encoding)
    header = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(rows[0])]
    _require_header(path, header, rows)
    comma = delimiter != "," and any(_DECIMAL_COMMA.match(v) for row in rows[1:] for v in row)
    settings: dict[str, Any] = {
        "encoding": encoding,
        "sep": delimiter,
        "decimal": "," if comma else ".",
        "header": 0,
        "names": header,
        # A text may be "null" or "2001": it is not to become a gap or a number.
        "keep_default_na": False,
        "na_values": {name: list(NO_VALUE) for name in header if name != text},
        "dtype": {text: str} if text in header else None,
        "skipinitialspace": True,
        # Rows with a value too many would lose one, or shift: pandas warns of them.
        "index_col": False,
    }
    try:
        frame = _without_mixed_columns(path, settings)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has no rows: give one row per example") from None
    except pd.errors.ParserWarning:
        raise DataError(
            f"{path}: rows have more values than line 1 has names: name every column"
        ) from None
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        reason = str(error).replace("Error tokenizing data. C error: ", "")
        raise DataError(
            f"{path} is no table with {DELIMITERS[delimiter]} between values: {reason}"
        ) from None
    return frame, delimiter


def _without_mixed_columns(path: Path, settings: dict[str, Any]) -> pd.DataFrame:
    """Read in parts, which takes less memory; whole if a column has other types in other parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame: pd.DataFrame = pd.read_csv(path, **settings)
        except pd.errors.DtypeWarning:
            frame = pd.read_csv(path, low_memory=False, **settings)
    return frame


def _first_rows(path: Path, encoding: str) -> tuple[list[list[str]], str]:
    """Return the first rows of a file, and the delimiter by which they have most alike columns."""
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise DataError(f"{path} is empty: give a line of column names, and one row per example")
    whole = len(sample) < SAMPLE
    best: tuple[float, list[list[str]], str] = (-1.0, [[sample]], ",")
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(sample.splitlines(True), delimiter=delimiter) if row]
        except csv.Error:
            continue
        if not rows:
            continue
        # The last row of a sample may be cut off.
        rows = (rows if whole or len(rows) < 3 else rows[:-1])[:ROWS]
        columns = len(rows[0])
        alike = sum(len(row) == columns for row in rows) / len(rows) if columns > 1 else 0.0
        if alike > best[0]:
            best = (alike, rows, delimiter)
    return best[1], best[2]


def _require_header(path: Path, header: list[str], rows: list[list[str]]) -> None:
    numbers = sum(bool(_NUMBER.match(name)) for name in header)
    if len(rows) > 1 and numbers > len(header) / 2:
        raise DataError(
            f"{path}: line 1 ({', '.join(header[:4])}, ...) looks like values: add a line with the "
            "names of the columns above it"
        )
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called '{twice}': rename one")


def _read_parquet(path: Path, text: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not any(map(importlib.util.find_spec, ("pyarrow", "fastparquet"))):
        raise InputError(f"{path} needs pyarrow: pip install 'byheart[parquet]'")
    try:
        return pd.read_parquet(path), ()
    except OSError:
        raise
    except Exception as error:
        # pyarrow and fastparquet have errors of their own, of many kinds.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is a damaged Parquet file: {reason}") from None


def _read_json(path: Path, text: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.read(1)
            file.seek(0)
            rows = json.load(file) if first == "[" else list(_json_lines(path, file))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is damaged JSON: {error}") from None
    strange = next((i for i, row in enumerate(rows) if not isinstance(row, dict)), None)
    if not rows or strange is not None:
        raise DataError(
            f"{path}: row {strange or 0} is no object: write one JSON object per line, such as "
            '{"text": "good", "label": "positive"}'
        )
    require_room(path, (len(rows), max(map(len, rows))))
    return pd.DataFrame.from_records(rows), ()


def _json_lines(path: Path, file: Any) -> Iterator[Any]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}: line {number} is no JSON ({error.msg}): write one object per line"
            ) from None


Reader = Callable[[Path, str | None], tuple[pd.DataFrame, tuple[str, ...]]]
READERS: dict[str, Reader] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _read_csv),
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _read_json),
}
"""How to read a table, by the ending of its file."""


def as_frame(data: Any) -> pd.DataFrame | None:
    """Return a pandas frame, or what turns into one (Arrow, polars); None of anything else.

    Raises:
        InputError: two columns or two rows of one name.
    """
    if not isinstance(data, pd.DataFrame):
        convert = getattr(data, "to_pandas", None)
        data = None if convert is None else convert()
    if not isinstance(data, pd.DataFrame):
        return None
    if not data.index.is_unique:
        twice = data.index[data.index.duplicated()][0]
        raise InputError(
            f"the index of the frame has '{twice}' twice or more, so it does not name rows: call "
            "frame.reset_index(drop=True) first"
        )
    frame = data.rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"the frame has two columns called '{twice}': rename one")
    return frame

"""Columns of a table as numbers that networks learn from, by scikit-learn's transformers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from byheart.data.files import require_room
from byheart.data.scaling import COLUMNS_AT_ONCE, MOST_DEVIATIONS, standardised
from byheart.errors import InputError
from byheart.texts import visible

MOST_CATEGORIES = 50
"""Categories of a column that get an input of their own; rarer ones share one."""
MOSTLY = 0.95
"""Share of values that must be numbers or dates, for a column of text to count as such."""
MOST_NAMED = 10
"""Columns that a note names."""
MISSING = "missing"
_DATE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?$")

Floats = npt.NDArray[np.float32]


@dataclass
class Columns:
    """The columns of a table by what they are.

    Attributes:
        numbers: columns of numbers, with gaps.
        categories: columns of texts, with gaps.
        dates: columns that became several numbers.
        booleans: columns of True and False, which are among the numbers.
        left_out: why each further column is no input.
        infinite: number of infinite values, which count as missing.
    """

    numbers: dict[str, pd.Series] = field(default_factory=dict)
    categories: dict[str, pd.Series] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)
    booleans: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    infinite: int = 0


def to_inputs(name: str, frame: pd.DataFrame) -> tuple[Floats, tuple[str, ...], list[str]]:
    """Return the inputs [N, D] of a table, the name of each, and what was done in words.

    - Numbers are standardised (mean 0, standard deviation 1, clipped at 10). Missing ones become
      the median, and a further input tells where.
    - True and False are 1 and 0, standardised likewise.
    - A date becomes its day, its month and its day of the week.
    - A category has an input of its own, which is 1 or 0; a missing one is a category too. The
      50 most frequent categories of a column are kept; the others share an input.
    - Row numbers, constants, free text and nested values are left out.

    All of this is fitted on all rows, and never sees a label.

    Raises:
        InputError: no column can be an input.
    """
    columns = sort_columns(frame)
    if not columns.numbers and not columns.categories:
        why = "; ".join(f"'{column}': {reason}" for column, reason in columns.left_out.items())
        raise InputError(f"data set '{name}' has no column to learn from ({why or 'no columns'})")
    require_room(name, (len(frame), len(columns.numbers)))
    blocks, features, gaps = [], [], 0
    for values, names, missing in _numbers(columns.numbers):
        blocks.append(values)
        features += names
        gaps += missing
    if columns.categories:
        values, names = _categories(name, columns.categories)
        blocks.append(values)
        features += names
    inputs = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    return inputs, tuple(map(visible, features)), _in_words(columns, gaps, len(features))


def sort_columns(frame: pd.DataFrame) -> Columns:
    """Return the columns of a table by what they are."""
    found = Columns()
    for column in map(str, frame.columns):
        values = frame[column]
        dtype = values.dtype
        if isinstance(dtype, pd.SparseDtype):
            values = pd.Series(np.asarray(values))
        if isinstance(dtype, pd.PeriodDtype):
            values = values.dt.to_timestamp()
        if types.is_bool_dtype(values.dtype):
            _add_numbers(found, column, values, "bool")
        elif types.is_timedelta64_dtype(values.dtype):
            _add_numbers(found, column, values.dt.total_seconds(), "numbers")
        elif types.is_datetime64_any_dtype(values.dtype):
            _add_dates(found, column, values)
        elif types.is_complex_dtype(values.dtype):
            found.left_out[column] = "complex numbers"
        elif types.is_numeric_dtype(values.dtype):
            _add_numbers(found, column, values, "numbers")
        else:
            _add_texts(found, column, values)
    return found


def _add_numbers(found: Columns, column: str, values: pd.Series, kind: str) -> None:
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    infinite = int(np.isinf(known).sum())
    if infinite:
        found.infinite += infinite
        values = pd.Series(np.where(np.isinf(numbers), np.nan, numbers))
        known = known[np.isfinite(known)]
    if len(known) == 0:
        found.left_out[column] = "no values"
    elif len(known) == len(numbers) and known.min() == known.max():
        found.left_out[column] = "one value only"
    elif len(known) == len(numbers) > 2 and bool((np.diff(known) == 1).all()):
        found.left_out[column] = "row numbers"
    else:
        found.numbers[column] = values
        if kind == "bool":
            found.booleans.append(column)


def _add_dates(found: Columns, column: str, values: pd.Series) -> None:
    times = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
    if times.isna().all():
        found.left_out[column] = "no values"
        return
    days = (times - times.min()) / pd.Timedelta(days=1)
    parts = {"day": days, "month": times.dt.month, "day of the week": times.dt.day_of_week}
    for part, numbers in parts.items():
        known = numbers.dropna()
        if known.nunique() > 1:
            found.numbers[f"{column} ({part})"] = numbers
    found.dates.append(column)


def _add_texts(found: Columns, column: str, values: pd.Series) -> None:
    """Add a column of texts or objects as what it holds: truth values, numbers, dates, names."""
    known = values.dropna()
    if len(known) == 0:
        found.left_out[column] = "no values"
        return
    kinds = {type(value) for value in known.head(1000)}
    if kinds & {list, dict, set, tuple, bytes, np.ndarray}:
        found.left_out[column] = "nested values"
        return
    if kinds <= {bool, np.bool_}:
        _add_numbers(found, column, values.astype("boolean"), "bool")
        return
    numbers = pd.to_numeric(known, errors="coerce")
    if numbers.notna().mean() >= MOSTLY:
        _add_numbers(found, column, pd.to_numeric(values, errors="coerce"), "numbers")
        return
    texts = values.astype(object).where(values.isna(), values.astype(str))
    if known.head(100).astype(str).str.match(_DATE).mean() >= MOSTLY:
        dates = _as_dates(texts)
        if dates is not None:
            _add_dates(found, column, dates)
            return
    different = texts.nunique()
    if different == 1 and len(known) == len(values):
        found.left_out[column] = "one value only"
    elif different > MOST_CATEGORIES and different > len(known) / 2:
        found.left_out[column] = f"{different:,} different texts in {len(known):,} rows"
    else:
        found.categories[column] = texts


def _as_dates(texts: pd.Series) -> pd.Series | None:
    """Return the dates that texts stand for; None if too many stand for none."""
    known = texts.notna().sum()
    with warnings.catch_warnings(action="ignore"):
        tries = [
            pd.to_datetime(texts, errors="coerce", dayfirst=first, utc=True)
            for first in (False, True)
        ]
    best = max(tries, key=lambda dates: dates.notna().sum())
    return best if best.notna().sum() >= MOSTLY * known else None


def _numbers(columns: Mapping[str, pd.Series]) -> Iterator[tuple[Floats, list[str], int]]:
    """Yield a few columns at a time: standardised values, their names, and how many were gaps."""
    names = list(columns)
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        part = names[start : start + COLUMNS_AT_ONCE]
        values = np.column_stack(
            [columns[name].to_numpy(np.float64, na_value=np.nan) for name in part]
        )
        gaps = np.isnan(values)
        holed = [f"{name} is missing" for name, any_ in zip(part, gaps.any(0), strict=True) if any_]
        if holed:
            imputer = make_pipeline(SimpleImputer(strategy="median", add_indicator=True))
            values = imputer.fit_transform(values)
        yield standardised(values, values), [*part, *holed], int(gaps.sum())


def _categories(name: str, columns: Mapping[str, pd.Series]) -> tuple[Floats, list[str]]:
    encoder = OneHotEncoder(
        max_categories=MOST_CATEGORIES,
        drop="if_binary",
        sparse_output=False,
        dtype=np.float32,
        feature_name_combiner=lambda column, category: f"{column} = {category}",
    )
    width = sum(min(MOST_CATEGORIES, values.nunique() + 1) for values in columns.values())
    rows = len(next(iter(columns.values())))
    require_room(name, (rows, width))
    texts = pd.DataFrame({column: values.fillna(MISSING) for column, values in columns.items()})
    values = encoder.fit_transform(texts)
    names = [
        str(feature).replace("infrequent_sklearn", "another")
        for feature in encoder.get_feature_names_out()
    ]
    return np.asarray(values, dtype=np.float32), names


def _in_words(columns: Columns, gaps: int, width: int) -> list[str]:
    dated = sum(1 for name in columns.numbers for date in columns.dates if name.startswith(date))
    numbers = len(columns.numbers) - len(columns.booleans) - dated
    kinds = [
        (numbers, "of numbers (mean 0, standard deviation 1, clipped at "
         f"{MOST_DEVIATIONS:g} standard deviations)"),
        (len(columns.booleans), "of True and False"),
        (len(columns.dates), "of dates (day, month, day of the week)"),
        (len(columns.categories), "of categories (an input for each)"),
    ]  # fmt: skip
    has = ", ".join(f"{count:,} {what}" for count, what in kinds if count)
    notes = [
        f"Columns became {width:,} inputs, fitted on all rows, without the labels: {has}",
    ]
    if gaps:
        notes.append(
            f"{gaps:,} missing numbers became the median of their column, and a further input "
            "tells where"
        )
    if columns.infinite:
        notes.append(f"{columns.infinite:,} infinite values counted as missing")
    if columns.left_out:
        notes.append(f"Left out: {_listed(columns.left_out)}")
    return notes


def _listed(left_out: Mapping[str, str]) -> str:
    shown = [f"'{column}' ({why})" for column, why in list(left_out.items())[:MOST_NAMED]]
    more = len(left_out) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def named(columns: Sequence[str]) -> str:
    """Return the names of some columns, for an error or a note."""
    shown = ", ".join(f"'{column}'" for column in columns[:MOST_NAMED])
    more = len(columns) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown

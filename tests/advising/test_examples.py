"""Which examples an audit did not flag, from the table that it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.advising.test_advise import digits

from byheart.advising.examples import read_trusted
from byheart.errors import InputError

DATA = digits(100)


def table(path: Path, rows: str) -> Path:
    path.write_text(rows)
    return path


def written(path: Path, flagged, data=DATA) -> Path:
    rows = [f"{i},{int(y)},{f}" for i, (y, f) in enumerate(zip(data.y, flagged, strict=True))]
    return table(path, "id,label,flagged\n" + "\n".join(rows))


def test_what_is_not_flagged_is_trusted(tmp_path) -> None:
    flagged = [i % 3 == 0 for i in range(100)]
    assert read_trusted(written(tmp_path / "t.csv", flagged), DATA) == [not f for f in flagged]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, r"cannot read .*No such file"),
        ("", "it is no CSV file"),
        ("a,b\n1,2", "has no columns 'label' and 'flagged'"),
        ("label,flagged\n1,maybe", "has no columns 'label' and 'flagged'"),
        ("label,flagged\n1,False", "has 1 rows, and there are 100 examples: give the same data"),
    ],
)
def test_a_file_that_is_no_table_of_an_audit_is_refused(rows, message, tmp_path) -> None:
    path = tmp_path / "t.csv"
    if rows is not None:
        table(path, rows)
    with pytest.raises(InputError, match=message) as problem:
        read_trusted(path, DATA)
    assert "\n" not in str(problem.value)


def test_a_table_of_other_examples_is_refused(tmp_path) -> None:
    other = DATA.subset(list(range(99, -1, -1)))
    with pytest.raises(InputError, match=r"has label .*, and example .* give the same data"):
        read_trusted(written(tmp_path / "t.csv", [False] * 100, other), DATA)


def test_a_table_with_everything_flagged_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="there is nothing to trust"):
        read_trusted(written(tmp_path / "t.csv", [True] * 100), DATA)

import csv
import io
from dataclasses import replace
from urllib.parse import unquote

import pytest
from tests.report.figures import figures, sorted_examples

from byheart.charts.drawn import COLUMNS, to_csv
from byheart.charts.figure import Point
from byheart.report.frame import data_uri


def test_the_table_holds_every_point_unrounded() -> None:
    figure = sorted_examples()
    found = list(csv.DictReader(io.StringIO(to_csv(figure))))
    assert tuple(found[0]) == COLUMNS
    assert [float(row["y"]) for row in found] == [point.y for point in figure.points]


def test_an_absent_interval_is_an_empty_cell() -> None:
    assert to_csv(sorted_examples()).splitlines()[1].endswith(",,")


def test_names_with_commas_and_quotes_come_back() -> None:
    odd = 'a, "b"\nc'
    figure = replace(figures()[0], points=(Point("", odd, 1.0, 2.0),))
    assert list(csv.reader(io.StringIO(to_csv(figure))))[1][1] == odd


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '<svg a="b">#&%</svg>', "naïve </script>"])
def test_a_link_holds_the_whole_text(text: str) -> None:
    link = data_uri(text, "text/csv")
    assert unquote(link.removeprefix("data:text/csv;charset=utf-8,")) == text
    assert not set('"<>#& \n') & set(link)

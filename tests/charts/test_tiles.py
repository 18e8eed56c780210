"""Pictures of filters: what is drawn is what was measured, and nothing a stranger wrote runs."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import numpy as np
import pytest

from byheart.charts.drawn import PIXEL_COLUMNS, to_csv
from byheart.charts.figure import Matrix, MatrixFigure, Picture, PictureFigure, picture_of
from byheart.charts.tiles import draw_tiles

SVG = "{http://www.w3.org/2000/svg}"


def figure(*shown: Picture, title: str = "Filters") -> PictureFigure:
    return PictureFigure("filters", title, "A17 Fig 2", "read it", shown)


def drawn(shown: PictureFigure) -> ElementTree.Element:
    return ElementTree.fromstring(draw_tiles(shown))


def moved(group: ElementTree.Element) -> tuple[float, float]:
    """Return how far a group is moved, in pixels."""
    x, y = group.attrib["transform"].removeprefix("translate(").split(")")[0].split()
    return float(x), float(y)


def colours(root: ElementTree.Element) -> dict[str, int]:
    """Return how many squares have each colour."""
    paths = root.iter(f"{SVG}path")
    return {path.attrib["fill"]: path.attrib["d"].count("M") for path in paths}


def test_zero_is_grey_and_the_largest_weight_white_or_black() -> None:
    kernel = np.array([[0.0, 2.0], [-2.0, 1.0]])
    assert colours(drawn(figure(picture_of("one", kernel[None, None])))) == {
        "#808080": 1, "#ffffff": 1, "#000000": 1, "#c0c0c0": 1,
    }  # fmt: skip


def test_three_channels_are_colours_and_others_are_averaged() -> None:
    red = np.array([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    assert colours(drawn(figure(picture_of("one", red)))) == {"#ff8000": 1}
    assert colours(drawn(figure(picture_of("one", red[:, :2])))) == {"#ffffff": 1}


def test_every_filter_is_on_a_scale_of_its_own() -> None:
    filters = np.array([0.01, 100.0]).reshape(2, 1, 1, 1)
    assert colours(drawn(figure(picture_of("one", filters)))) == {"#ffffff": 2}


def test_a_filter_of_zeros_is_grey() -> None:
    assert colours(drawn(figure(picture_of("one", np.zeros((1, 1, 3, 3)))))) == {"#808080": 9}


def test_names_of_classes_that_are_wider_than_a_cell_stand_upright() -> None:
    names = tuple(f"{letter}irplane" for letter in "abcdefghij")
    values = tuple((0.0,) * 10 for _ in names)
    shown = MatrixFigure("m", "T", "", "", "row", "column", names, (Matrix("real", values),))
    upright = draw_tiles(shown).count("rotate(-90")
    assert upright == 1 + len(names)  # the title of the rows, and the names of the columns


@pytest.mark.parametrize(("count", "side"), [(1, 5), (6, 3), (8, 5), (32, 7)])
def test_everything_stays_within_the_drawing(count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    shown = [picture_of(name, rng.normal(size=(count, 1, side, side))) for name in "abcd"]
    root = drawn(figure(*shown))
    *_, width, height = (float(value) for value in root.attrib["viewBox"].split())
    assert width == 600
    for panel in root.findall(f"{SVG}g"):
        group = panel[1]
        scale = group.attrib["transform"].removesuffix(")").split(") scale(")[1]
        left, top = (sum(values) for values in zip(moved(panel), moved(group), strict=True))
        places = [
            [int(value) for value in place.split("h")[0].split()]
            for path in group.iter(f"{SVG}path")
            for place in path.attrib["d"].split("M")[1:]
        ]
        right, bottom = ((max(p[axis] for p in places) + 1) * float(scale) for axis in (0, 1))
        assert left + right <= width + 0.1
        assert top + bottom <= height + 1
        assert len(places) == count * side**2


def test_the_drawing_names_itself_and_its_pictures() -> None:
    root = drawn(figure(picture_of("real", np.ones((1, 1, 2, 2))), title="a <b> & c"))
    assert [one.text for one in root[:2]] == ["a <b> & c", "read it"]
    assert [one.text for one in root.iter(f"{SVG}text")] == ["real"]


def test_hostile_names_are_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    shown = figure(picture_of(hostile, np.ones((1, 1, 2, 2))), title=hostile)
    assert "<script" not in draw_tiles(shown)


def test_the_table_holds_every_weight_unrounded() -> None:
    filters = np.random.default_rng(0).normal(size=(2, 3, 2, 2))
    rows = list(csv.DictReader(io.StringIO(to_csv(figure(picture_of("real", filters))))))
    assert tuple(rows[0]) == PIXEL_COLUMNS
    assert len(rows) == filters.size
    for row in rows:
        tile, channel, y, x = (int(row[name]) for name in ("tile", "channel", "row", "column"))
        assert float(row["value"]) == filters[tile, channel, y, x]

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import altair as alt
import pytest
from tests.report.figures import figures, sorted_examples

from byheart.charts import marks, vega
from byheart.charts.drawn import COLUMNS, to_csv
from byheart.charts.figure import Axis, Figure, Point
from byheart.charts.marks import log_ticks

BY_ID = {figure.id: figure for figure in figures()}


def small(*points: Point, **changes: Any) -> Figure:
    """Return a figure of a few points."""
    series = tuple(dict.fromkeys(point.series for point in points))
    figure = Figure("small", "title", "A17", "read it", Axis("x"), Axis("y"), series, points)
    return replace(figure, **changes)


def encodings(declaration: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the encoding of every layer."""
    view = declaration.get("spec", declaration)
    return [layer["encoding"] for layer in view["layer"]]


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.id)
def test_every_figure_becomes_an_svg_that_names_itself(figure: Figure) -> None:
    root = ElementTree.fromstring(vega.draw_svg(figure, vega.wide(figure)))
    words = [element.text for element in root[:2]]
    assert words == [figure.title, figure.reading]


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.id)
def test_every_declaration_is_valid_vega_lite(figure: Figure) -> None:
    # Checked here and not at run time, where it took as long as drawing. Tooltips only add to it.
    alt.Chart.from_dict(vega.declare(figure, vega.wide(figure), interactive=True))


def test_an_svg_holds_no_ids_that_could_clash_within_a_page() -> None:
    svg = vega.draw_svg(BY_ID["csr-radius"], vega.wide(BY_ID["csr-radius"]))
    assert not [one for one in ElementTree.fromstring(svg).iter() if "id" in one.attrib]


def test_the_same_figure_is_the_same_svg() -> None:
    figure = BY_ID["time-width"]
    first, second = (vega.draw_svg(figure, vega.wide(figure)) for _ in range(2))
    assert first == second


def test_the_background_is_transparent() -> None:
    figure = BY_ID["csr-noise"]
    assert vega.declare(figure, vega.wide(figure), interactive=False)["background"] == (
        "transparent"
    )


def scale_of(figure: Figure, channel: str) -> list[Any]:
    """Return the range of one channel's scale."""
    declaration = vega.declare(figure, vega.wide(figure), interactive=False)
    found = [one[channel] for one in encodings(declaration) if channel in one]
    return list(found[0]["scale"]["range"])


def test_kinds_without_marks_are_told_apart_by_dashes() -> None:
    figure = sorted_examples()
    dashes = {tuple(dash) for dash in scale_of(figure, "strokeDash")}
    assert len(dashes) == len(figure.series)


def test_kinds_with_marks_are_told_apart_by_shapes() -> None:
    figure = BY_ID["csr-training"]
    assert len(set(scale_of(figure, "shape"))) == len(figure.series)


def test_a_reference_has_no_dots() -> None:
    figure = small(
        Point("", "real", 1, 1),
        Point("", "chance", 1, 2),
        dashed=("chance",),
        series=("real", "chance"),
    )
    view = vega.declare(figure, vega.wide(figure), interactive=False)
    dots = [layer for layer in view["layer"] if layer["mark"]["type"] == "point"]
    assert dots[0]["transform"] == [{"filter": {"field": "series", "oneOf": ["real"]}}]


def test_only_the_page_answers_the_pointer() -> None:
    figure = BY_ID["csr-noise"]
    alive, still = (
        json.dumps(vega.declare(figure, vega.wide(figure), interactive=one))
        for one in (True, False)
    )
    assert "tooltip" in alive
    assert "tooltip" not in still


def test_panels_stand_in_the_order_of_the_points() -> None:
    figure = small(Point("b", "s", 1, 1), Point("a", "s", 1, 1))
    declaration = vega.declare(figure, vega.wide(figure), interactive=False)
    assert declaration["facet"]["sort"] == ["b", "a"]


def test_a_thousand_points_do_not_all_answer_the_pointer() -> None:
    table = marks.rows(sorted_examples())
    assert len(table) == 4000
    assert 0 < sum(bool(row["hover"]) for row in table) <= 4 * marks.HOVER_POINTS


def test_what_a_logarithmic_axis_cannot_show_is_left_out() -> None:
    figure = small(Point("", "s", 0, 1), Point("", "s", 2, 1), x=Axis("epoch", log=True))
    assert [row["x"] for row in marks.rows(figure)] == [2]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_left_out(bad: float) -> None:
    table = marks.rows(small(Point("", "s", 1, bad), Point("", "s", 2, 1, bad, 3)))
    assert [(row["x"], row["low"], row["high"]) for row in table] == [(2, None, None)]


def test_an_interval_that_reaches_zero_is_cut_on_a_logarithmic_axis() -> None:
    figure = small(
        Point("", "s", 1, 5, 3, 7), Point("", "s", 2, 4, -1, 9), y=Axis("time", log=True)
    )
    assert [row["low"] for row in marks.rows(figure)] == [3, 4]


def test_a_lone_point_shows_its_interval_as_a_line() -> None:
    figure = small(Point("", "s", 1, 5, 3, 7))
    view = vega.declare(figure, vega.wide(figure), interactive=False)
    assert "rule" in [layer["mark"]["type"] for layer in view["layer"]]


def test_a_figure_without_points_is_still_an_svg() -> None:
    figure = small(series=("s",))
    assert ElementTree.fromstring(vega.draw_svg(figure, vega.wide(figure))) is not None


def test_few_values_are_their_own_ticks() -> None:
    assert log_ticks([16, 32, 64, 32]) == [16, 32, 64]


def test_many_values_over_few_decades_get_round_ticks() -> None:
    assert log_ticks(range(3, 90)) == [3, 5, 7, 10, 20, 30, 50, 70]


def test_many_decades_get_one_tick_each() -> None:
    assert log_ticks([10.0**k for k in range(-3, 8)]) == [10.0**k for k in range(-3, 8)]


def test_less_than_a_decade_still_gets_several_ticks() -> None:
    assert log_ticks([26.5 + k / 7 for k in range(100)]) == [30, 35, 40]


def test_a_share_that_almost_reaches_the_whole_is_drawn_up_to_it() -> None:
    figure = small(
        Point("", "s", 0.0005, 1), Point("", "s", 0.9995, 2), x=Axis("share", percent=True)
    )
    declaration = vega.declare(figure, vega.wide(figure), interactive=False)
    assert encodings(declaration)[0]["x"]["scale"]["domain"] == [0, 1]


@pytest.mark.parametrize("log", [True, False])
def test_the_highest_point_keeps_clear_of_the_upper_edge(log: bool) -> None:
    figure = small(Point("", "s", 1, 1), Point("", "s", 2, 100), y=Axis("y", log=log))
    low, high = encodings(vega.declare(figure, vega.wide(figure), interactive=False))[0]["y"][
        "scale"
    ]["domain"]
    assert low < 1 and high > 100


def test_hostile_names_are_escaped_in_the_svg() -> None:
    name = '<img src=x onerror=alert(1)>&"'
    figure = small(
        Point(name, name, 1, 1), Point("b", "c", 1, 2), title=name, reading=name, legend=name
    )
    svg = vega.draw_svg(figure, vega.wide(figure))
    assert "<img" not in svg
    assert ElementTree.fromstring(svg) is not None


def bracketed() -> Figure:
    return small(
        Point("", "a", 1.0, 0.2, 0.1, 0.3), Point("", "a", 2.0, 0.3, 0.2, 0.4, 0.7),
        Point("", "a", 3.0, 0.4, 0.3, 0.5, 0.6),
    )  # fmt: skip


def test_a_bracket_is_shaded_up_to_a_dashed_line() -> None:
    declaration = vega.declare(bracketed(), vega.wide(bracketed()), interactive=True)
    alt.Chart.from_dict(declaration)
    shade, edge = declaration["layer"][:2]
    assert shade["mark"]["type"] == "area"
    assert (shade["encoding"]["y"]["field"], shade["encoding"]["y2"]["field"]) == ("y", "upper")
    assert edge["mark"]["strokeDash"]
    assert edge["encoding"]["y"]["field"] == "upper"
    tips = [tip["field"] for tip in declaration["layer"][-1]["encoding"]["tooltip"]]
    assert "upper" in tips


def test_a_bracket_fits_on_its_axis_and_is_known_at_its_own_points() -> None:
    assert [row["upper"] for row in marks.rows(bracketed())] == [None, 0.7, 0.6]
    declaration = vega.declare(bracketed(), vega.wide(bracketed()), interactive=False)
    shared = [one["y"]["scale"] for one in encodings(declaration) if "scale" in one["y"]]
    assert shared and all(scale["domain"][1] > 0.7 for scale in shared)
    assert "svg" in vega.draw_svg(bracketed(), vega.wide(bracketed()))


def test_a_figure_without_brackets_carries_nothing_of_them() -> None:
    plain = small(Point("", "a", 1.0, 0.2), Point("", "a", 2.0, 0.3))
    assert all("upper" not in row for row in marks.rows(plain))
    assert "upper" not in json.dumps(vega.declare(plain, vega.wide(plain), interactive=True))


CROSS = Point("", "one", 0.5, 0.6, 0.5, 0.7, left=0.2, right=0.9)


def test_an_interval_on_the_horizontal_axis_is_drawn_and_fits_on_it() -> None:
    declared = vega.declare(small(CROSS), vega.wide(small(CROSS)), interactive=False)
    assert any(
        layer["encoding"]["x"].get("field") == "left" and "x2" in layer["encoding"]
        for layer in declared["layer"]
    )
    assert marks.rows(small(CROSS))[0]["right"] == 0.9
    assert vega.draw_svg(small(CROSS), vega.wide(small(CROSS))).startswith("<svg")


def test_the_csv_has_it_and_that_of_other_figures_has_not() -> None:
    assert to_csv(small(CROSS)).splitlines()[0].endswith(",left,right")
    other = small(Point("", "one", 0.5, 0.6))
    assert "left" not in to_csv(other)


def test_no_two_of_many_series_look_alike() -> None:
    many = small(*(Point("", f"s{k}", k, k) for k in range(18)))
    layers = [layer.to_dict(validate=False) for layer in marks.layers(many, interactive=False)]
    (dots,) = (layer for layer in layers if "shape" in layer["encoding"])
    looks = zip(
        dots["encoding"]["color"]["scale"]["range"],
        dots["encoding"]["shape"]["scale"]["range"],
        strict=True,
    )
    assert len(set(looks)) == 18


def test_a_legend_of_many_names_stands_in_columns() -> None:
    many = small(*(Point("", f"a long name {k}", k, k) for k in range(18)))
    legend = vega.config(many.series, vega.wide(many))["legend"]
    assert legend["columns"] == 600 // (7 * len("a long name 17") + 34)


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

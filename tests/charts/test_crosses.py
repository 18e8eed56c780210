"""Points whose place is estimated on both axes, and more series than there are colours."""

from byheart.charts import marks, vega
from byheart.charts.drawn import to_csv
from byheart.charts.figure import Axis, Figure, Point


def figure(points: tuple[Point, ...]) -> Figure:
    series = tuple(dict.fromkeys(point.series for point in points))
    return Figure("id", "title", "", "reading", Axis("x"), Axis("y"), series, points)


CROSS = Point("", "one", 0.5, 0.6, 0.5, 0.7, left=0.2, right=0.9)


def test_an_interval_on_the_horizontal_axis_is_drawn_and_fits_on_it() -> None:
    declared = vega.declare(figure((CROSS,)), vega.wide(figure((CROSS,))), interactive=False)
    assert any(
        layer["encoding"]["x"].get("field") == "left" and "x2" in layer["encoding"]
        for layer in declared["layer"]
    )
    assert marks.rows(figure((CROSS,)))[0]["right"] == 0.9
    assert vega.draw_svg(figure((CROSS,)), vega.wide(figure((CROSS,)))).startswith("<svg")


def test_the_csv_has_it_and_that_of_other_figures_has_not() -> None:
    assert to_csv(figure((CROSS,))).splitlines()[0].endswith(",left,right")
    other = figure((Point("", "one", 0.5, 0.6),))
    assert "left" not in to_csv(other)


def test_no_two_of_many_series_look_alike() -> None:
    own = figure(tuple(Point("", f"s{k}", k, k) for k in range(18)))
    layers = [layer.to_dict(validate=False) for layer in marks.layers(own, interactive=False)]
    (dots,) = (layer for layer in layers if "shape" in layer["encoding"])
    looks = zip(
        dots["encoding"]["color"]["scale"]["range"],
        dots["encoding"]["shape"]["scale"]["range"],
        strict=True,
    )
    assert len(set(looks)) == 18


def test_a_legend_of_many_names_stands_in_columns() -> None:
    own = figure(tuple(Point("", f"a long name {k}", k, k) for k in range(18)))
    legend = vega.config(own.series, vega.wide(own))["legend"]
    assert legend["columns"] == 600 // (7 * len("a long name 17") + 34)

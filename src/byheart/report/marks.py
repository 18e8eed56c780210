"""The layers of a chart: bands, lines, dots, and what answers the pointer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import altair as alt

from byheart.report import axes, palette, style
from byheart.studies.figure import Axis, Figure, Point, Span

HOVER_POINTS = 120
"""At most so many points of a series answer the pointer: a thousand would only slow the page."""

Row = dict[str, str | float | bool | None]


def drawable(figure: Figure) -> list[Point]:
    """Return the points that the axes can show: finite, and positive on a logarithmic axis."""

    def shown(axis: Axis, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not axis.log)

    return [one for one in figure.points if shown(figure.x, one.x) and shown(figure.y, one.y)]


def rows(figure: Figure) -> list[Row]:
    """Return the data of the chart, one row a point, rounded to what a screen can show."""
    points = drawable(figure)
    bracketed, crossed = _bracketed(figure), _crossed(figure)
    sizes = Counter((point.panel, point.series) for point in points)
    seen: Counter[tuple[str, str]] = Counter()
    floor = min((point.y for point in points), default=1.0) if figure.y.log else -math.inf
    result: list[Row] = []
    for point in points:
        line = (point.panel, point.series)
        low, high = _band(point, floor)
        result.append(
            {
                "panel": point.panel,
                "series": point.series,
                "x": _short(point.x),
                "y": _short(point.y),
                "low": low,
                "high": high,
                "hover": seen[line] % math.ceil(sizes[line] / HOVER_POINTS) == 0,
                "lone": sizes[line] == 1,
            }
        )
        if bracketed:
            result[-1]["upper"] = None if point.upper is None else _short(point.upper)
        if crossed:
            result[-1]["left"] = None if point.left is None else _short(point.left)
            result[-1]["right"] = None if point.right is None else _short(point.right)
        seen[line] += 1
    return result


def layers(figure: Figure, *, interactive: bool) -> list[alt.Chart]:
    """Return the layers of one panel, from back to front.

    Args:
        figure: what to draw.
        interactive: add the layer that answers the pointer.
    """
    table = rows(figure)
    colour = alt.Color("series:N", **_series(figure, palette.series_colours(figure)))
    base = alt.Chart().encode(
        x=alt.X("x:Q", **axes.horizontal(figure.x, _values(table, "x", "left", "right"))),
        color=colour,
    )
    y = alt.Y("y:Q", **axes.vertical(figure.y, _values(table, "y", "low", "high", "upper")))
    result = list(_span(figure.span)) if figure.span else []
    result += _brackets(figure, base) if _bracketed(figure) else []
    result += _intervals(figure, base, table)
    if _crossed(figure):
        result.append(_across(figure, base))
    dash = alt.StrokeDash("series:N", **_series(figure, _dashes(figure)))
    result.append(base.mark_line(strokeWidth=2, strokeCap="butt").encode(y=y, strokeDash=dash))
    if figure.marks:
        shape = alt.Shape("series:N", **_series(figure, _shapes(figure)))
        dots = base.mark_point(filled=True, size=42, opacity=1).encode(y=y, shape=shape)
        own = alt.FieldOneOfPredicate("series", _plain(figure))
        result.append(dots.transform_filter(own) if figure.dashed else dots)
    if interactive:
        result.append(_hover(figure, base.encode(y=y)))
    return result


def _span(span: Span) -> Iterator[alt.Chart]:
    """Yield the shade of an interval on the horizontal axis, and the line of its estimate."""
    values = alt.InlineData([{"at": span.at, "low": span.low, "high": span.high}])
    shade = alt.Chart(values).mark_rect(color=palette.REFERENCE, opacity=0.18)
    yield shade.encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"))
    line = alt.Chart(values).mark_rule(color=palette.REFERENCE, strokeWidth=1.5)
    yield line.encode(x=alt.X("at:Q"))


def _intervals(figure: Figure, base: alt.Chart, table: list[Row]) -> Iterator[alt.Chart]:
    known = [row for row in table if row["low"] is not None]
    if not known:
        return
    band = base.transform_filter("isValid(datum.low)").encode(
        y=alt.Y("low:Q", title=figure.y.title), y2=alt.Y2("high:Q")
    )
    yield band.mark_area(opacity=0.16, line=False)
    if any(row["lone"] for row in known):
        # A single point has no band: its interval is a line.
        yield band.transform_filter("datum.lone").mark_rule(strokeWidth=1.5)


def _crossed(figure: Figure) -> bool:
    return any(point.left is not None for point in figure.points)


def _across(figure: Figure, base: alt.Chart) -> alt.Chart:
    """Return the intervals on the horizontal axis, as lines."""
    known = base.transform_filter("isValid(datum.left)")
    rule: alt.Chart = known.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("left:Q", title=figure.x.title), x2=alt.X2("right:Q"), y=alt.Y("y:Q")
    )
    return rule


def _bracketed(figure: Figure) -> bool:
    return any(point.upper is not None for point in figure.points)


def _brackets(figure: Figure, base: alt.Chart) -> Iterator[alt.Chart]:
    """Yield the shade from a lower bound to its upper bound, and the edge that bounds it."""
    known = base.transform_filter("isValid(datum.upper)")
    shade = known.encode(y=alt.Y("y:Q", title=figure.y.title), y2=alt.Y2("upper:Q"))
    yield shade.mark_area(opacity=0.1, line=False)
    edge = known.encode(y=alt.Y("upper:Q", title=figure.y.title))
    yield edge.mark_line(strokeWidth=1.2, strokeDash=style.BRACKET_DASH, strokeCap="butt")


def _hover(figure: Figure, base: alt.Chart) -> alt.Chart:
    near = alt.selection_point(name="near", on="pointerover", clear="pointerout")
    y_format = axes.number_format(figure.y, tip=True)
    tips = [
        alt.Tooltip("series:N", title=_quoted(figure.legend or "series")),
        alt.Tooltip(
            "x:Q", title=_quoted(figure.x.title), format=axes.number_format(figure.x, tip=True)
        ),
        alt.Tooltip("y:Q", title=_quoted(figure.y.title), format=y_format),
    ]
    if any(point.low is not None for point in figure.points):
        tips.append(alt.Tooltip("low:Q", title=f"{figure.level:.0%} from", format=y_format))
        tips.append(alt.Tooltip("high:Q", title=f"{figure.level:.0%} to", format=y_format))
    if _bracketed(figure):
        tips.append(alt.Tooltip("upper:Q", title="at most", format=y_format))
    seen = alt.condition(near, alt.value(0.45), alt.value(0), empty=False)
    dots: alt.Chart = (
        base.transform_filter("datum.hover")
        .mark_point(filled=True, size=170, shape="circle", strokeWidth=0)
        .encode(opacity=seen, tooltip=tips)
        .add_params(near)
    )
    return dots


def _quoted(title: str) -> str:
    """Return a title of a tooltip that stays a text in the expression that Vega-Lite makes of it.

    It escapes quotes and not the backslashes before them, so that what follows would be code.
    """
    return title.replace("\\", "\N{FULLWIDTH REVERSE SOLIDUS}")


def _values(table: list[Row], *fields: str) -> list[float]:
    found = (row.get(field) for row in table for field in fields)
    return [float(value) for value in found if value is not None]


def _series(figure: Figure, values: Iterable[Any]) -> dict[str, Any]:
    legend: alt.Legend | None = None
    title = figure.legend or None
    if len(figure.series) > 1 and figure.marks:
        legend = alt.Legend(title=title)
    elif len(figure.series) > 1:
        legend = alt.Legend(title=title, symbolType="stroke", symbolSize=480)
    names = list(figure.series)
    scale = alt.Scale(domain=names, range=list(values))
    return {"scale": scale, "sort": names, "title": title, "legend": legend}


def _plain(figure: Figure) -> list[str]:
    return [name for name in figure.series if name not in figure.dashed]


def _dashes(figure: Figure) -> list[list[int]]:
    # Kinds that carry no marker are told apart by their dashes; levels by their place in the ramp.
    told_by_dash = not figure.marks and not figure.ordered
    own = {
        name: style.DASHES[index % len(style.DASHES)] if told_by_dash else style.DASHES[0]
        for index, name in enumerate(_plain(figure))
    }
    return [own.get(name, style.REFERENCE_DASH) for name in figure.series]


def _shapes(figure: Figure) -> list[str]:
    own = {
        name: style.SHAPES[0] if figure.ordered else _shape(index)
        for index, name in enumerate(_plain(figure))
    }
    return [own.get(name, style.REFERENCE_SHAPE) for name in figure.series]


def _shape(index: int) -> str:
    # Colours come round after as many series as shapes: then with another shape each.
    count = len(style.SHAPES)
    return style.SHAPES[(index + index // count) % count]


def _band(point: Point, floor: float) -> tuple[float | None, float | None]:
    """Return the interval; one that reaches zero on a logarithmic axis is cut at ``floor``."""
    if point.low is None or point.high is None:
        return None, None
    if not (math.isfinite(point.low) and math.isfinite(point.high)):
        return None, None
    low = point.low if point.low > 0 or floor == -math.inf else min(floor, point.high)
    return _short(low), _short(point.high)


def _short(value: float) -> float:
    return float(f"{value:.6g}")

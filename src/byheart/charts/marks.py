"""The layers and axes of a line chart, as Altair objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import altair as alt

from byheart.charts import style
from byheart.charts.figure import Axis, Figure, Point, Span

HOVER_POINTS = 120
"""Largest number of points per series with a tooltip: a thousand would slow the page."""
MAX_TICKS = 8
HEADROOM = 0.04
"""Fraction of the y axis left free at its ends, so that tick labels stay inside the panel."""
_LEADING = (
    (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
"""Leading digits of the ticks of a logarithmic axis, from the finest choice to the coarsest."""

Row = dict[str, str | float | bool | None]


def rows(figure: Figure) -> list[Row]:
    """Return the data of the chart, one row per point, rounded to six digits.

    Points that the axes cannot show are omitted: infinite ones, and on a logarithmic axis those at
    or below zero.
    """
    points = [
        point
        for point in figure.points
        if _can_be_drawn(figure.x, point.x) and _can_be_drawn(figure.y, point.y)
    ]
    has_upper, has_x_interval = _has_upper_bounds(figure), _has_x_intervals(figure)
    sizes = Counter((point.panel, point.series) for point in points)
    points_so_far: Counter[tuple[str, str]] = Counter()
    lowest_y = min((point.y for point in points), default=1.0) if figure.y.log else -math.inf
    result: list[Row] = []
    for point in points:
        series = (point.panel, point.series)
        low, high = _band(point, lowest_y)
        row: Row = {
            "panel": point.panel,
            "series": point.series,
            "x": _six_digits(point.x),
            "y": _six_digits(point.y),
            "low": low,
            "high": high,
            "hover": points_so_far[series] % math.ceil(sizes[series] / HOVER_POINTS) == 0,
            "lone": sizes[series] == 1,
        }
        if has_upper:
            row["upper"] = None if point.upper is None else _six_digits(point.upper)
        if has_x_interval:
            row["left"] = None if point.left is None else _six_digits(point.left)
            row["right"] = None if point.right is None else _six_digits(point.right)
        result.append(row)
        points_so_far[series] += 1
    return result


def layers(figure: Figure, *, interactive: bool) -> list[alt.Chart]:
    """Return the layers of one panel, from back to front.

    Args:
        figure: what to draw.
        interactive: whether to add tooltips.
    """
    table = rows(figure)
    colour = alt.Color("series:N", **_series_encoding(figure, style.series_colours(figure)))
    base = alt.Chart().encode(
        x=alt.X("x:Q", **horizontal(figure.x, _values(table, "x", "left", "right"))),
        color=colour,
    )
    y = alt.Y("y:Q", **vertical(figure.y, _values(table, "y", "low", "high", "upper")))
    result = list(_span(figure.span)) if figure.span else []
    result += _bounds_band(figure, base) if _has_upper_bounds(figure) else []
    result += _intervals(figure, base, table)
    if _has_x_intervals(figure):
        result.append(_x_intervals(figure, base))
    dash = alt.StrokeDash("series:N", **_series_encoding(figure, _dashes(figure)))
    result.append(base.mark_line(strokeWidth=2, strokeCap="butt").encode(y=y, strokeDash=dash))
    if figure.marks:
        shape = alt.Shape("series:N", **_series_encoding(figure, _shapes(figure)))
        dots = base.mark_point(filled=True, size=42, opacity=1).encode(y=y, shape=shape)
        is_not_reference = alt.FieldOneOfPredicate("series", _solid_series(figure))
        result.append(dots.transform_filter(is_not_reference) if figure.dashed else dots)
    if interactive:
        result.append(_hover(figure, base.encode(y=y)))
    return result


def horizontal(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return title, scale and ticks of the x axis as arguments of an Altair channel.

    Args:
        axis: title and scale.
        values: all values that must fit on the axis, in its unit.
    """
    if axis.log:
        return _logarithmic(axis, values, alt.Scale(type="log", nice=False))
    if axis.percent and values and min(values) >= 0 and 0.95 < max(values) <= 1:
        # Show 0 to 100%, even if the outermost points lie slightly inside.
        return _linear(axis, alt.Scale(domain=[0, 1], nice=False))
    return _linear(axis, alt.Scale(zero=_starts_at_zero(values), nice=not axis.percent))


def vertical(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return title, scale and ticks of the y axis; arguments as for :func:`horizontal`."""
    low, high = float(min(values, default=0.1)), float(max(values, default=1.0))
    if axis.log:
        factor = (high / low) ** HEADROOM if high > low else 2.0
        domain = [low / factor, high * factor]
        return _logarithmic(axis, values, alt.Scale(type="log", domain=domain, nice=False))
    headroom = HEADROOM * (high - low) or 0.5
    domain = [0.0 if _starts_at_zero(values) else low - headroom, high + headroom]
    return _linear(axis, alt.Scale(domain=domain, nice=False, zero=False))


def log_ticks(values: Sequence[float]) -> list[float]:
    """Return the values if they are few and whole, else the densest round ticks that are few."""
    distinct = sorted({float(value) for value in values})
    if len(distinct) <= MAX_TICKS and all(value.is_integer() for value in distinct):
        return distinct
    low, high = distinct[0], distinct[-1]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for leading in _LEADING:
        candidates = (float(f"{digit}e{decade}") for decade in decades for digit in leading)
        ticks = [tick for tick in candidates if low <= tick <= high]
        if len(ticks) <= MAX_TICKS:
            break
    return ticks


def _logarithmic(axis: Axis, values: Sequence[float], scale: alt.Scale) -> dict[str, Any]:
    shown = alt.Axis(format=_number_format(axis), values=log_ticks(values))
    return {"title": axis.title, "scale": scale, "axis": shown}


def _linear(axis: Axis, scale: alt.Scale) -> dict[str, Any]:
    shown = alt.Axis(format=_number_format(axis), tickCount=5)
    return {"title": axis.title, "scale": scale, "axis": shown}


def _starts_at_zero(values: Sequence[float]) -> bool:
    """Return whether the axis starts at zero; otherwise it fits the data."""
    low, high = float(min(values, default=0.0)), float(max(values, default=1.0))
    return 0 <= low <= 0.5 * high


def _number_format(axis: Axis, *, tip: bool = False) -> str:
    """Return the d3 format of an axis, or of its tooltip, which shows one digit more."""
    if axis.percent:
        return ".1~%" if tip else "~%"
    # Without a precision, Vega formats a linear axis so coarsely that 10 becomes 1e+1.
    return ".3~g" if tip else ".6~g"


def _span(span: Span) -> Iterator[alt.Chart]:
    """Yield a shaded interval on the x axis, and a vertical line at its estimate."""
    values = alt.InlineData([{"at": span.at, "low": span.low, "high": span.high}])
    shade = alt.Chart(values).mark_rect(color=style.REFERENCE, opacity=0.18)
    yield shade.encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"))
    line = alt.Chart(values).mark_rule(color=style.REFERENCE, strokeWidth=1.5)
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


def _x_intervals(figure: Figure, base: alt.Chart) -> alt.Chart:
    """Return the intervals of the points on the x axis, as lines."""
    known = base.transform_filter("isValid(datum.left)")
    rule: alt.Chart = known.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("left:Q", title=figure.x.title), x2=alt.X2("right:Q"), y=alt.Y("y:Q")
    )
    return rule


def _bounds_band(figure: Figure, base: alt.Chart) -> Iterator[alt.Chart]:
    """Yield a band from the lower to the upper bounds, and its upper edge."""
    known = base.transform_filter("isValid(datum.upper)")
    shade = known.encode(y=alt.Y("y:Q", title=figure.y.title), y2=alt.Y2("upper:Q"))
    yield shade.mark_area(opacity=0.1, line=False)
    edge = known.encode(y=alt.Y("upper:Q", title=figure.y.title))
    yield edge.mark_line(strokeWidth=1.2, strokeDash=style.BRACKET_DASH, strokeCap="butt")


def _hover(figure: Figure, base: alt.Chart) -> alt.Chart:
    near = alt.selection_point(name="near", on="pointerover", clear="pointerout")
    x_format, y_format = (_number_format(axis, tip=True) for axis in (figure.x, figure.y))
    tips = [
        alt.Tooltip("series:N", title=_without_backslashes(figure.legend or "series")),
        alt.Tooltip("x:Q", title=_without_backslashes(figure.x.title), format=x_format),
        alt.Tooltip("y:Q", title=_without_backslashes(figure.y.title), format=y_format),
    ]
    if any(point.low is not None for point in figure.points):
        tips.append(alt.Tooltip("low:Q", title=f"{figure.level:.0%} from", format=y_format))
        tips.append(alt.Tooltip("high:Q", title=f"{figure.level:.0%} to", format=y_format))
    if _has_upper_bounds(figure):
        tips.append(alt.Tooltip("upper:Q", title="at most", format=y_format))
    hover_opacity = alt.condition(near, alt.value(0.45), alt.value(0), empty=False)
    dots: alt.Chart = (
        base.transform_filter("datum.hover")
        .mark_point(filled=True, size=170, shape="circle", strokeWidth=0)
        .encode(opacity=hover_opacity, tooltip=tips)
        .add_params(near)
    )
    return dots


def _without_backslashes(title: str) -> str:
    """Replace backslashes, so that a title cannot inject code into an expression of Vega-Lite.

    Vega-Lite escapes quotes, but not the backslashes before them.
    """
    return title.replace("\\", "\N{FULLWIDTH REVERSE SOLIDUS}")


def _series_encoding(figure: Figure, range_values: Iterable[Any]) -> dict[str, Any]:
    legend: alt.Legend | None = None
    title = figure.legend or None
    if len(figure.series) > 1 and figure.marks:
        legend = alt.Legend(title=title)
    elif len(figure.series) > 1:
        legend = alt.Legend(title=title, symbolType="stroke", symbolSize=480)
    names = list(figure.series)
    scale = alt.Scale(domain=names, range=list(range_values))
    return {"scale": scale, "sort": names, "title": title, "legend": legend}


def _solid_series(figure: Figure) -> list[str]:
    return [name for name in figure.series if name not in figure.dashed]


def _dashes(figure: Figure) -> list[list[int]]:
    # Unordered series without markers get different dashes; ordered series differ in colour.
    by_dash = not figure.marks and not figure.ordered
    dashes = {
        name: style.DASHES[index % len(style.DASHES)] if by_dash else style.DASHES[0]
        for index, name in enumerate(_solid_series(figure))
    }
    return [dashes.get(name, style.REFERENCE_DASH) for name in figure.series]


def _shapes(figure: Figure) -> list[str]:
    shapes = {
        name: style.SHAPES[0] if figure.ordered else _shape(index)
        for index, name in enumerate(_solid_series(figure))
    }
    return [shapes.get(name, style.REFERENCE_SHAPE) for name in figure.series]


def _shape(index: int) -> str:
    # Colours repeat after len(SHAPES) series; the shift keeps pairs of colour and shape distinct.
    count = len(style.SHAPES)
    return style.SHAPES[(index + index // count) % count]


def _has_upper_bounds(figure: Figure) -> bool:
    return any(point.upper is not None for point in figure.points)


def _has_x_intervals(figure: Figure) -> bool:
    return any(point.left is not None for point in figure.points)


def _can_be_drawn(axis: Axis, value: float) -> bool:
    return math.isfinite(value) and (value > 0 or not axis.log)


def _band(point: Point, lowest_y: float) -> tuple[float | None, float | None]:
    """Return the interval; one that reaches zero on a logarithmic axis is cut at ``lowest_y``."""
    if point.low is None or point.high is None:
        return None, None
    if not (math.isfinite(point.low) and math.isfinite(point.high)):
        return None, None
    low = point.low if point.low > 0 or lowest_y == -math.inf else min(lowest_y, point.high)
    return _six_digits(low), _six_digits(point.high)


def _values(table: list[Row], *fields: str) -> list[float]:
    values = (row.get(field) for row in table for field in fields)
    return [float(value) for value in values if value is not None]


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")

"""How every chart looks: fonts, lines and legend, in Vega-Lite's configuration."""

from __future__ import annotations

from typing import Any

from byheart.report.palette import FAINT, GRID, INK

FONT = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', "
    "'Liberation Sans', Arial, sans-serif"
)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES = ([1, 0], [8, 3], [8, 3, 2, 3], [3, 2], [12, 3], [5, 2, 1, 2])
REFERENCE_SHAPE = "stroke"
REFERENCE_DASH = [2, 3]
BRACKET_DASH = [3, 3]

CONFIG: dict[str, Any] = {
    "font": FONT,
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "labelColor": FAINT,
        "titleColor": INK,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "grid": True,
        "gridColor": GRID,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelFlush": False,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "header": {"labelColor": INK, "labelFontSize": 12, "labelFontWeight": 600, "labelPadding": 6},
    "legend": {
        "labelColor": FAINT,
        "titleColor": INK,
        "orient": "top",
        "direction": "horizontal",
        "titleOrient": "left",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "labelLimit": 260,
        "titleLimit": 320,
        "symbolSize": 110,
        "symbolOpacity": 1,
        "symbolStrokeWidth": 2,
        "columnPadding": 14,
        "offset": 10,
    },
    "facet": {"spacing": 22},
}

"""Colours, fonts and line styles of every chart.

A chart is drawn once, in the colours for white paper, which colour-blind readers can tell apart.
For dark mode, the page's style sheet replaces every colour by its twin. Print is always light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from byheart.charts.figure import Figure

KINDS = {"real": "#0072b2", "randX": "#c65102", "randY": "#007f5f"}
"""The papers' three kinds of data have the same colour in every figure."""
OTHERS = ("#a8478a", "#7a6200", "#4c5fd7", "#5b5f66", "#9b2c2c", "#0e7c86")
REFERENCE = "#747b85"
INK = "#2b3038"
FAINT = "#59616d"
GRID = "#e3e6ea"

_VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
"""Eleven even stops, from Smith and van der Walt (2015)."""
LEVEL_STEPS = 31
_LIGHT_RANGE = (0.0, 0.58)
_DARK_RANGE = (0.36, 1.0)
_CELLS = ("#eef3f8", "#a9c9e4", "#3f84bd", "#0a2f5c")

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
"""Vega-Lite's configuration."""


def series_colours(figure: Figure) -> list[str]:
    """Return one colour per series of a figure, for a white background.

    A dashed reference is grey, unless it is named after a series ("real, binomial" after "real").
    """
    plain = [name for name in figure.series if name not in figure.dashed]
    if figure.ordered:
        colours = dict(zip(plain, _levels(len(plain)), strict=True))
    else:
        spare = iter(OTHERS * (1 + len(plain) // len(OTHERS)))
        colours = {name: KINDS.get(name) or next(spare) for name in plain}
    return [colours.get(name) or _reference(name, colours) for name in figure.series]


def dark_twins() -> dict[str, str]:
    """Return the dark-mode colour for every colour of a chart."""
    twins = {
        KINDS["real"]: "#56b4e9",
        KINDS["randX"]: "#f0894a",
        KINDS["randY"]: "#2fc79a",
        REFERENCE: "#98a1ad",
        INK: "#e4e7eb",
        FAINT: "#aab2bd",
        GRID: "#30363f",
    }
    others = ("#e08fc6", "#d9b93b", "#93a1ff", "#c2c7ce", "#f08a8a", "#5fd0d8")
    twins |= dict(zip(OTHERS, others, strict=True))
    for step in range(LEVEL_STEPS):
        share = step / (LEVEL_STEPS - 1)
        twins[_ramp(_LIGHT_RANGE, share)] = _ramp(_DARK_RANGE, share)
    return twins


def cell_colour(share: float) -> str:
    """Return the colour of a share from 0 to 1 in a heat map, the same on any background."""
    position = min(1.0, max(0.0, share)) * (len(_CELLS) - 1)
    index = min(int(position), len(_CELLS) - 2)
    return _mix(_CELLS[index : index + 2], position - index)


def _reference(name: str, colours: Mapping[str, str]) -> str:
    """Return the colour of the series that a reference is named after ("real, binomial")."""
    owners = [series for series in colours if name.startswith(f"{series},")]
    return colours[max(owners, key=len)] if owners else REFERENCE


def _levels(count: int) -> list[str]:
    """Return ``count`` even steps of the ramp, rounded to steps that have a twin."""
    last = LEVEL_STEPS - 1
    steps = [round(last * index / max(1, count - 1)) for index in range(count)]
    return [_ramp(_LIGHT_RANGE, step / last) for step in steps]


def _ramp(span: tuple[float, float], share: float) -> str:
    position = (span[0] + (span[1] - span[0]) * share) * (len(_VIRIDIS) - 1)
    index = min(int(position), len(_VIRIDIS) - 2)
    return _mix(_VIRIDIS[index : index + 2], position - index)


def _mix(pair: Sequence[str], share: float) -> str:
    first, second = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in pair)
    mixed = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)

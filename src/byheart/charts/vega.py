"""From a figure to a Vega-Lite declaration, which the page and the SVG share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from byheart.charts.figure import Figure
from byheart.charts.lean import lean_svg
from byheart.charts.marks import layers, rows
from byheart.charts.style import CONFIG
from byheart.texts import visible_within, xml

SPILL = 1.6
"""Largest width of a legend on one line, as a multiple of the panels' width."""
LETTER, SYMBOL = 7, 34
"""Pixels that a letter of the legend takes, and a symbol with the space around it."""


@dataclass(frozen=True)
class Layout:
    """Size of a panel in pixels, and the number of panels in a row."""

    width: int
    height: int
    columns: int


def panels(figure: Figure) -> list[str]:
    """Return the names of the panels, in the order in which they appear."""
    return list(dict.fromkeys(point.panel for point in figure.points))


def wide(figure: Figure) -> Layout:
    """Return the layout of the SVG: it fits the width of a page of paper."""
    count = len(panels(figure))
    if count <= 1:
        return Layout(600, 300, 1)
    return Layout(310, 220, 2) if count in (2, 4) else Layout(198, 190, 3)


def declare(figure: Figure, layout: Layout, *, interactive: bool) -> dict[str, Any]:
    """Return the Vega-Lite declaration of a figure, without its data.

    Args:
        figure: what to draw.
        layout: size of a panel in pixels, and the number of columns.
        interactive: add tooltips; the SVG has none.

    Returns:
        The declaration; its data set is named ``points`` and holds the rows of the figure.
    """
    data = alt.NamedData(name="points")
    view = alt.layer(*layers(figure, interactive=interactive), data=data)
    chart: alt.LayerChart | alt.FacetChart = view.properties(
        width=layout.width, height=layout.height
    )
    names = panels(figure)
    if len(names) > 1:
        by_panel = alt.Facet("panel:N", sort=names, header=alt.Header(title=None))
        chart = chart.facet(facet=by_panel, columns=layout.columns).resolve_axis(x="independent")
    # Validation against the schema takes as long as drawing; the tests do it.
    declaration: dict[str, Any] = chart.properties(background="transparent", padding=4).to_dict(
        validate=False
    )
    return declaration | {"config": config(figure.series, layout)}


def draw_svg(figure: Figure, layout: Layout) -> str:
    """Return the figure as SVG, with title and reading for screen readers."""
    declaration = declare(figure, layout, interactive=False)
    declaration["datasets"] = {"points": rows(figure)}
    return to_svg(declaration, figure.title, figure.reading)


def to_svg(declaration: dict[str, Any], title: str, reading: str) -> str:
    """Return a declaration with its data as SVG, with title and reading for screen readers."""
    svg = lean_svg(
        vl_convert.vegalite_to_svg(visible_within(declaration), vl_version=library_version())
    )
    head, body = svg.split(">", 1)
    words = f"<title>{xml(title)}</title><desc>{xml(reading)}</desc>"
    return f"{head}>{words}{body}"


def library_version() -> str:
    """Return the version of Vega-Lite that Altair writes for, as vl-convert wants it."""
    return alt.SCHEMA_VERSION.lstrip("v").rsplit(".", 1)[0]


def config(series: Sequence[str], layout: Layout) -> dict[str, Any]:
    """Return Vega-Lite's configuration, with a legend that fits names of this length."""
    room = layout.columns * layout.width
    if sum(LETTER * len(name) + SYMBOL for name in series) <= SPILL * room:
        return CONFIG
    longest = max(map(len, series), default=1)
    columns = max(1, room // (LETTER * longest + SYMBOL))
    return CONFIG | {"legend": CONFIG["legend"] | {"titleOrient": "top", "columns": columns}}


@cache
def libraries() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script that needs no network."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", library_version())
    return bundle

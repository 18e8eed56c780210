"""The template engine of every page, its filters, and links to files within the page."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from byheart.charts.style import dark_twins
from byheart.charts.vega import libraries
from byheart.report import interval, numbers
from byheart.texts import cell, visible
from byheart.version import __version__


def render_page(template: str, *, with_charts: bool, **values: Any) -> str:
    """Return a page as HTML: one file that loads nothing from elsewhere.

    Everything that is put into the page is escaped. The page's content policy allows only the
    scripts and the styles that the template itself holds.

    Args:
        template: its name.
        with_charts: add the chart library.
        **values: what the template is filled with. A missing value is an error.
    """
    page: str = _environment().get_template(template).render(with_charts=with_charts, **values)
    return page


def frame_csv(frame: pd.DataFrame, *, index: bool = True) -> str:
    """Return a table as CSV: six significant digits a number, no text that is a formula."""
    text: str = frame.map(cell).to_csv(index=index, lineterminator="\n", float_format="%.6g")
    return text


def data_uri(text: str, kind: str) -> str:
    """Return a link that holds the file itself, so that the page needs no other file."""
    return f"data:{kind};charset=utf-8," + quote(text, safe="/:=(),;!*@$")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("byheart.report"),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "chance": numbers.chance,
        "count": numbers.count,
        "counted": numbers.counted,
        "data_uri": data_uri,
        "decimals": numbers.decimals,
        "drawing": interval.draw,
        "duration": numbers.duration,
        "exact": numbers.exact,
        "gzipped": _gzipped,
        "interval": numbers.interval,
        "moment": numbers.moment,
        "number": numbers.number,
        "p_value": numbers.p_value,
        "points": numbers.points,
        "sentence": numbers.sentence,
        "sha256": _sha256,
        "signs": numbers.signs,
        "svg": Markup,
        "visible": visible,
    }
    environment.globals |= {
        "dark_charts": Markup(_dark_charts()),
        "interval_width": interval.WIDTH,
        "libraries": lambda: Markup(libraries()),
        "version": __version__,
    }
    return environment


def _harmless(value: Any) -> Any:
    """Return a text with its invisible characters written out; they could hide or turn text."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value, "\n\t")
    return value


def _dark_charts() -> str:
    """Return the style rules that give every colour of a chart its twin in dark mode."""
    rules = "\n".join(
        f'  .chart [fill="{light}"] {{ fill: {dark}; }}\n'
        f'  .chart [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in dark_twins().items()
    )
    return f"@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"


def _gzipped(text: str) -> str:
    """Return a text compressed, in base64; the same text gives the same letters."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _sha256(text: str) -> str:
    """Return the hash by which the page's content policy allows a script or a style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

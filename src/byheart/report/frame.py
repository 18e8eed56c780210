"""What every page is made with: the template engine, its filters, styles and scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from byheart.charts import vega
from byheart.charts.style import dark_twins
from byheart.report import interval, numbers, table
from byheart.texts import visible


def environment() -> jinja2.Environment:
    """Return what fills templates in: everything is escaped, and what is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("byheart.report"),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    made.filters |= {
        "number": numbers.number,
        "exact": numbers.exact,
        "interval": numbers.interval,
        "chance": numbers.chance,
        "count": numbers.count,
        "counted": numbers.counted,
        "points": numbers.points,
        "duration": numbers.duration,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "moment": numbers.moment,
        "sentence": numbers.sentence,
        "signs": numbers.signs,
        "svg": lambda text: Markup(text),
        "visible": visible,
        "data_uri": lambda text, kind: table.data_uri(kind, text),
    }
    made.globals["interval_width"] = interval.WIDTH
    return made


def shell(styles: Sequence[str], scripts: Sequence[str], *, with_charts: bool) -> dict[str, Any]:
    """Return what the frame of a page needs: its style, its scripts, and their hashes.

    Args:
        styles: names of style sheets among the templates, the general first.
        scripts: names of scripts, run one after the other as one.
        with_charts: whether the page needs the chart library.
    """
    texts = {
        "libraries": vega.libraries() if with_charts else "",
        "own": "\n".join(_asset(name) for name in scripts),
    }
    style = "".join(map(_asset, styles)) + _dark_charts()
    return {
        "style": Markup(style),
        "style_hash": _hash(style),
        "scripts": {name: Markup(text) for name, text in texts.items()},
        "script_hashes": [_hash(text) for text in texts.values() if text],
    }


def _harmless(value: Any) -> Any:
    """Return what is put into a page, with characters written out that would hide or turn text."""
    return (
        value if not isinstance(value, str) or isinstance(value, Markup) else visible(value, "\n\t")
    )


def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _dark_charts() -> str:
    """Return the rules that give every colour of a chart its twin in dark mode."""
    rules = "\n".join(
        f'  .chart [fill="{light}"] {{ fill: {dark}; }}\n'
        f'  .chart [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in dark_twins().items()
    )
    return f"\n@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"


def _hash(text: str) -> str:
    """Return what the page's content policy calls a script or a style: nothing else may count."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

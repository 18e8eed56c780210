"""Turn the formulas of a page into MathML when the site is built: no script, no network."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_: object) -> str:
    """Replace what pymdownx.arithmatex marked."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    block = found["tag"] == "div"
    tex = html.unescape(found["tex"]).strip()
    formula = convert(tex, display="block" if block else "inline")
    # The converter prints a command it does not know instead of refusing it.
    if "\\" in html.unescape(formula):
        raise ValueError(f"a command in this formula is not known to latex2mathml: {tex}")
    return f'<div class="formula">{formula}</div>' if block else formula

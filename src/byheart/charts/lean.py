"""Makes the SVG of a chart smaller: the library repeats much, and draws what nobody sees."""

from __future__ import annotations

import re
from xml.etree import ElementTree

NAMESPACE = "http://www.w3.org/2000/svg"
_WITHOUT_EFFECT = (
    "aria-hidden",
    "aria-roledescription",
    "class",
    "pointer-events",
    "role",
    "stroke-miterlimit",
)
_DEFAULTS = (
    ("opacity", "1"),
    ("stroke-width", "1"),
    ("transform", "translate(0,0)"),
    ("x2", "0"),
    ("y2", "0"),
)
_GEOMETRY = {"d", "transform", "x", "x1", "x2", "y", "y1", "y2", "width", "height", "points"}
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
ElementTree.register_namespace("", NAMESPACE)


def lean_svg(svg: str) -> str:
    """Return an SVG that looks the same, with fewer elements and shorter numbers.

    Frames without colour and groups without effect go, the font is named once, and coordinates have
    a tenth of a pixel.

    Args:
        svg: as Vega draws it.
    """
    root = ElementTree.fromstring(svg)
    fonts = {element.get("font-family") for element in root.iter()} - {None}
    font = str(fonts.pop()) if len(fonts) == 1 else None
    _shorten(root, font)
    if font is not None:
        root.set("font-family", font)
    text: str = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return text


def _shorten(element: ElementTree.Element, font: str | None) -> None:
    """Take out of an element and of all within it what has no effect."""
    children = [child for child in element if not _unseen(child)]
    for name in _WITHOUT_EFFECT:
        element.attrib.pop(name, None)
    for name, value in (*_DEFAULTS, ("font-family", font)):
        if element.get(name) == value:
            element.attrib.pop(name, None)
    for name in _GEOMETRY & element.attrib.keys():
        element.set(name, _LONG_NUMBER.sub(_tenth, element.get(name, "")))
    kept: list[ElementTree.Element] = []
    for child in children:
        _shorten(child, font)
        bare = child.tag == f"{{{NAMESPACE}}}g" and not child.attrib
        kept += list(child) if bare else [child]
    element[:] = kept


def _unseen(element: ElementTree.Element) -> bool:
    """Say whether an element is a frame that Vega draws without a colour, or not at all."""
    coloured = element.get("fill") or element.get("stroke")
    frame = element.get("class") in ("background", "foreground")
    return element.get("display") == "none" or (frame and not coloured)


def _tenth(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 1):g}"

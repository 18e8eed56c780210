from xml.etree import ElementTree

from byheart.charts.lean import lean_svg

DRAWN = """<svg xmlns="http://www.w3.org/2000/svg" class="marks" width="60" height="40">
<g fill="none" stroke-miterlimit="10" transform="translate(5,5)"><g role="graphics-object">
<path class="background" d="M0,0h0v0h0Z"/><path class="background" fill="#fff" d="M0,0h9v9h-9Z"/>
<g transform="translate(0,0)"><line transform="translate(0,3.14159)" x2="9" y2="0" opacity="1"
 stroke="#000" stroke-width="1"/></g><path class="foreground" d="" display="none"/></g>
<text font-family="Arial" transform="translate(-0.04,12.3456)">0.12345</text></g></svg>"""


def test_an_svg_keeps_what_is_seen_and_loses_the_rest() -> None:
    root = ElementTree.fromstring(lean_svg(DRAWN))
    names = [element.tag.partition("}")[2] for element in root.iter()]
    assert names == ["svg", "g", "path", "line", "text"]
    group, path, line, text = list(root.iter())[1:]
    assert group.attrib == {"fill": "none", "transform": "translate(5,5)"}
    assert path.attrib == {"fill": "#fff", "d": "M0,0h9v9h-9Z"}
    assert line.attrib == {"transform": "translate(0,3.1)", "x2": "9", "stroke": "#000"}
    assert text.attrib == {"transform": "translate(-0,12.3)"}
    assert text.text == "0.12345"
    assert root.get("font-family") == "Arial"


def test_two_fonts_stay_where_they_are() -> None:
    texts = '<text font-family="A"/><text font-family="B"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{texts}</svg>'
    fonts = [text.get("font-family") for text in ElementTree.fromstring(lean_svg(svg))]
    assert fonts == ["A", "B"]

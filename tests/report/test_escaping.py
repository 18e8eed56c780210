"""Whatever a user names, nothing of it runs."""

import json
import re
from html.parser import HTMLParser

import pytest
from tests.report.examples import finding, part, records, session

from byheart.charts.figure import Axis, Figure, Point
from byheart.report.study import Section, render

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '" onmouseover="window.hacked = 1',
    "{{ 7 * 7 }}{% raw %}",
    "</style><svg onload=alert(1)>",
    "<!-- <script>",
    "javascript:alert(1)",
)


class Elements(HTMLParser):
    """Collects every element with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile_page(text: str) -> str:
    """Return a page on which everything a user can name is hostile."""
    named = session(
        data=text,
        preset=text,
        command=(text,),
        classes=(text, "b"),
        started=text,
        device=text,
        versions={"byheart": text, text: text},
    )
    one = finding(
        "easy-examples", text, text, [part(text, "above", 1, 2, 0.1)], note=text, reasons=(text,)
    )
    points = (Point(text, text, 1, 1, 0.5, 2), Point("b", "c", 2, 2))
    figure = Figure("f", text, text, text, Axis(text), Axis(text), (text, "c"), points, legend=text)
    return render(named, records(), [one], [Section(text, text, ("easy-examples",), (figure,))])


@pytest.fixture(scope="module", params=HOSTILE)
def page(request: pytest.FixtureRequest) -> str:
    return hostile_page(request.param)


def test_the_page_has_its_own_scripts_and_no_other(page: str) -> None:
    parser = Elements()
    parser.feed(page)
    scripts = [attrs for tag, attrs in parser.found if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == [
        "application/json",
        "application/gzip",
        None,
    ]


def test_no_element_carries_a_handler(page: str) -> None:
    parser = Elements()
    parser.feed(page)
    assert not [a for _, attrs in parser.found for a in attrs if a.startswith("on")]
    assert "img" not in [tag for tag, _ in parser.found]


def test_no_link_runs_a_script(page: str) -> None:
    parser = Elements()
    parser.feed(page)
    links = [attrs["href"] or "" for _, attrs in parser.found if "href" in attrs]
    assert all(link.startswith(("#", "data:", "https://")) for link in links)


def test_the_chart_still_holds_the_name_as_it_is(page: str) -> None:
    block = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    names = {row[1] for row in json.loads(block[1])["data"]["rows"]}
    assert names & set(HOSTILE)


def test_templates_in_names_are_not_run(page: str) -> None:
    assert "49" not in re.findall(r"<h1>.*?</h1>", page, re.DOTALL)[0]


def test_the_policy_allows_the_own_scripts_by_hash_and_nothing_else(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    scripts = re.search(r"script-src([^;]*)", policy[1])
    assert scripts is not None
    assert len(scripts[1].split()) == 2
    assert all(one.startswith("'sha256-") for one in scripts[1].split())
    assert policy[1].startswith("default-src 'none'")

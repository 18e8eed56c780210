"""Pages in a real Chromium: what strangers named is text, and nothing leads out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, BrowserContext
from tests.auditing.audits import made_up, table
from tests.report.conftest import browser as browser
from tests.report.examples import records, session
from tests.report.test_escaping import HOSTILE
from tests.report.visits import PHONE, WIDE, Visit, overflow, visit

from byheart.advising.result import Advice
from byheart.charts.figure import Axis, Figure, Point
from byheart.files import write_text
from byheart.report.study import Section, render
from byheart.studies.own_network import OwnNetwork
from byheart.texts import visible

NAMES = (
    *HOSTILE,
    '{"signal": "alert(1)"}',
    "a.b[0]['c']\\\"d`",
    "datum.x = alert(1)",
    "'); alert(1); ('",
    "\u202egpj.exe",
    "nul \x00 and \x1b[31mred",
    '=HYPERLINK("https://example.invalid/")',
    "Zoë 猫 👩‍🔬",
    "%3Cscript%3E&lt;script&gt;",
)
"""Names that are markup, code or expressions somewhere, or that hide what they are."""
LONG = "x" * 10_000


def study_page(path: Path, name: str) -> Path:
    """Write the page of a study on which everything is called so."""
    named = session(
        data=name,
        command=(name,),
        classes=(name, "b"),
        device=name,
        network=OwnNetwork(name, {"csr-noise": name}),
        versions={"byheart": name},
    )
    sections = [Section("Chart", "A17", ("csr-noise",), (_figure(name),))]
    return write_text(path, render(named, records(), [], sections))


def audit_page(path: Path, name: str) -> Path:
    """Write the page of an audit on which everything is called so."""
    rows = table(200)
    rows.insert(0, "file", [f"{name}/{i}.png" for i in range(len(rows))])
    rows["evidence"] = name
    classes = (name, *(f"{name}{k}" for k in range(9)))
    audit = made_up(table=rows, name=name, classes=classes)
    return audit.to_html(path, about={name: name})


def text_audit_page(path: Path, name: str) -> Path:
    """Write the page of an audit of texts, all of which are the name."""
    return made_up(examples=40, name=name).to_html(path, texts=[name] * 40)


def advice_page(path: Path, name: str) -> Path:
    """Write the page of an advice on which everything is called so."""
    values = {
        f"{what}{end}": 0.5
        for what in ("memorization", "drop", "accuracy", "cost")
        for end in ("", "_low", "_high")
    }
    row = values | {
        "name": name,
        "regularizer": name,
        "stage": "compared",
        "strength": 0.5,
        "verdict": "helps",
        "n": 3,
        "trusted": None,
    }
    explored = row | {"stage": "explored", "verdict": ""}
    refused = row | {"stage": "", "verdict": "not applicable", "reason": name}
    advice = Advice(
        name=name,
        table=pd.DataFrame([row, explored, refused]),
        recommended=None,
        why=name,
        code=name,
        front=pd.DataFrame([row]),
        checkpoints=(1, 2),
        curves={"none": np.full((2, 3, 2), 0.5), name: np.full((2, 3, 2), 0.25)},
        margin=0.01,
        seconds=1.0,
        notes=(name,),
    )
    return advice.to_html(path, about={name: name})


def _figure(name: str) -> Figure:
    """Return a chart in which all is called so, titles of tooltips and legend among it."""
    points = (Point("", name, 1, 1, 0.5, 2), Point("", "c", 2, 2))
    axis = Axis(name[:400])
    return Figure("f", "Chart", "A17", name, axis, axis, (name, "c"), points, legend=name[:400])


PAGES: Mapping[str, Callable[[Path, str], Path]] = {
    "study": study_page,
    "audit": audit_page,
    "text audit": text_audit_page,
    "advice": advice_page,
}


pytestmark = pytest.mark.browser

DIFFERENT = ("study", "audit")
"""Pages of different templates in the same frame."""

INJECT = """async () => {
  const seen = new Set();
  document.addEventListener("securitypolicyviolation", (e) => seen.add(e.effectiveDirective));
  const add = (name, facts, into = document.body) => {
    const element = Object.assign(document.createElement(name), facts);
    into.append(element);
    return element;
  };
  const away = "https://example.invalid/";
  add("img", { src: away + "a.png" });
  add("script", { src: away + "a.js" });
  add("script", { textContent: "window.hacked = 1" });
  add("link", { rel: "stylesheet", href: away + "a.css" });
  add("style", { textContent: "body { background: url(" + away + "b.png) }" });
  add("iframe", { src: away });
  add("object", { data: away });
  add("video", { src: away + "a.mp4" });
  add("base", { href: away }, document.head);
  add("button").setAttribute("onclick", "window.hacked = 1");
  document.body.lastElementChild.click();
  await fetch(away).catch(() => null);
  add("form", { action: away, method: "post" }).submit();
  try { new WebSocket("wss://example.invalid/"); } catch { seen.add("websocket refused"); }
  setTimeout("window.hacked = 1");
  await new Promise((done) => setTimeout(done, 300));
  return [...seen];
}"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    contexts: list[BrowserContext] = []

    def opens(path: Path, **circumstances: Any) -> Visit:
        contexts.append(browser.new_context(**circumstances))
        seen = visit(contexts[-1], path)
        seen.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        return seen

    yield opens
    for context in contexts:
        context.close()


def words(text: str) -> str:
    """Return a text as HTML lays it out: any white space is a space."""
    return " ".join(text.split())


def is_harmless(seen: Visit, path: Path) -> None:
    """See that a page ran nothing, asked for nothing and said nothing."""
    assert seen.page.evaluate("window.hacked") is None
    assert seen.said == []
    assert {url for url in seen.asked if not url.startswith("data:")} == {path.as_uri()}


@pytest.mark.parametrize("kind", PAGES)
def test_names_are_shown_as_they_were_typed(opened: Any, tmp_path: Path, kind: str) -> None:
    name = " ¦ ".join(NAMES)
    path = PAGES[kind](tmp_path / "report.html", name)
    seen = opened(path, viewport=WIDE)
    shown = words(visible(name))
    assert shown in words(seen.page.title())
    assert shown in words(seen.page.locator("h1").text_content() or "")
    assert words(seen.page.locator("body").inner_text()).count(shown) >= 2
    assert seen.page.locator("figure .live svg").count() == seen.page.locator("figure").count()
    for hidden in "\u202e\x00\x1b":
        assert hidden not in seen.page.content()
    is_harmless(seen, path)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_name_of_ten_thousand_letters_fits(opened: Any, tmp_path: Path, kind: str) -> None:
    path = PAGES[kind](tmp_path / "report.html", LONG)
    seen = opened(path, viewport=PHONE)
    assert overflow(seen.page) <= 0
    assert LONG in seen.page.title()
    is_harmless(seen, path)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_what_is_injected_all_the_same_is_refused(opened: Any, tmp_path: Path, kind: str) -> None:
    path = PAGES[kind](tmp_path / "report.html", "mine")
    seen = opened(path, viewport=WIDE)
    failed: list[tuple[str, str | None]] = []
    seen.page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    refused = set(seen.page.evaluate(INJECT))
    assert refused >= {
        "img-src",
        "script-src-elem",
        "script-src-attr",
        "style-src-elem",
        "connect-src",
        "frame-src",
        "media-src",
        "base-uri",
    }
    # Chromium tells of a request before the policy stops it: each of them ended there.
    away = {url for url in seen.asked if not url.startswith("data:")} - {path.as_uri()}
    assert away <= {url for url, why in failed if why == "csp"}
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.url == path.as_uri()

"""Pages in a real Chromium: what strangers named is text, and nothing leads out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from tests.hostile.pages import LONG, NAMES, PAGES
from tests.report.conftest import browser as browser
from tests.report.visits import PHONE, WIDE, Visit, overflow, visit

from byheart.texts import visible

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

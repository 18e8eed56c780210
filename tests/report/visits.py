"""Pages opened in a browser, for the tests of every page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
WIDTHS = (320, 360, 768, 961, 1280)
"""Widths in pixels around which the layout changes."""


@dataclass
class Visit:
    """A page that was opened, and everything it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def visit(context: BrowserContext, path: Path) -> Visit:
    """Open a file, wait until the charts have drawn, and note all messages and requests."""
    page = context.new_page()
    seen = Visit(page)
    page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
    page.on("request", lambda request: seen.asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
    return seen


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def colour(page: Page, selector: str, what: str = "color") -> str:
    """Return a computed colour."""
    script = f"e => getComputedStyle(e).getPropertyValue('{what}')"
    return str(page.locator(selector).first.evaluate(script))


def nothing_sticks_out(page: Page) -> None:
    """See that the page fits the window at any width, folded and unfolded."""
    for opened in ("false", "true"):
        page.evaluate(
            f"for (const details of document.querySelectorAll('details')) details.open = {opened}"
        )
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            page.evaluate("drawAll()")  # which a page does a while after the last change
            assert overflow(page) <= 0, f"{width} pixels wide"

"""The page in a real Chromium, opened from disk as a reader would."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from tests.report.examples import findings, records, session
from tests.report.figures import figures, sections
from tests.report.visits import PHONE, WIDE, Visit, colour, nothing_sticks_out, visit

from byheart.report.study import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def wide(browser: Browser, folder: Path) -> Iterator[Visit]:
    """Yield the page on a large screen, in light mode; tests leave it as they found it."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    yield visit(context, folder / "report.html")
    context.close()


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Any]:
    """Yield a function that opens the page under other circumstances."""
    contexts: list[BrowserContext] = []

    def opens(path: Path = folder / "report.html", **circumstances: Any) -> Visit:
        contexts.append(browser.new_context(**circumstances))
        return visit(contexts[-1], path)

    yield opens
    for context in contexts:
        context.close()


def test_every_chart_draws(wide: Visit) -> None:
    for figure in figures():
        drawn = wide.page.locator(f"figure#{figure.id} .live svg")
        assert drawn.count() == 1
        box = drawn.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 150
        assert drawn.locator("path[d]").count() > 10


def test_the_static_drawing_gives_way_to_the_live_one(wide: Visit) -> None:
    assert not wide.page.locator(".still").first.is_visible()


def test_a_figure_downloads_as_svg(wide: Visit, folder: Path) -> None:
    with wide.page.expect_download() as started:
        wide.page.locator("figure#csr-radius .downloads").get_by_text("SVG").click()
    drawing = ElementTree.parse(started.value.path()).getroot()
    written = ElementTree.parse(folder / "figures" / "csr-radius.svg").getroot()
    assert started.value.suggested_filename == "csr-radius.svg"
    assert [e.tag for e in drawing.iter()] == [e.tag for e in written.iter()]


def test_nothing_is_said_on_the_console(wide: Visit) -> None:
    assert wide.said == []


def test_no_request_leaves_the_page(wide: Visit, folder: Path) -> None:
    asked = {url for url in wide.asked if not url.startswith("data:")}
    assert asked == {(folder / "report.html").as_uri()}


def test_nothing_sticks_out_sideways_at_any_width(opened: Any) -> None:
    nothing_sticks_out(opened(viewport=PHONE).page)


def test_panels_wrap_on_a_phone_and_stand_side_by_side_in_a_wide_window(opened: Any) -> None:
    page = opened(viewport=PHONE).page
    assert page.locator("#csr-radius").get_attribute("data-columns") == "1"
    assert page.locator("#csr-radius .live svg").bounding_box()["height"] > 3 * 200
    page.set_viewport_size(WIDE)
    page.wait_for_selector('#csr-radius[data-columns="3"]')


def test_dark_mode_changes_page_and_charts(wide: Visit, opened: Any) -> None:
    dark = opened(viewport=WIDE, color_scheme="dark").page
    line = '#csr-training .live [stroke="#0072b2"]'
    assert colour(wide.page, line, "stroke") == "rgb(0, 114, 178)"
    assert colour(dark, line, "stroke") == "rgb(86, 180, 233)"
    for selector, what in (("body", "background-color"), ("body", "color"), (".chip", "color")):
        assert colour(wide.page, selector, what) != colour(dark, selector, what)


def test_print_is_light_and_shows_the_static_drawings_and_every_criterion(opened: Any) -> None:
    page = opened(viewport=WIDE, color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert colour(page, "body", "background-color") == "rgb(255, 255, 255)"
    assert page.locator("#csr-training .still").is_visible()
    assert not page.locator("#csr-training .live").is_visible()
    assert not page.locator(".filter").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("tr.more:not(.single) .criteria").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_the_keyboard_skips_to_the_content_and_unfolds_a_rule(opened: Any) -> None:
    page = opened(viewport=WIDE).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.locator(".criteria").first.is_visible()


def test_the_filter_shows_one_verdict_and_all_again(wide: Visit) -> None:
    page = wide.page
    rows = page.locator(".verdicts > tbody:visible")
    everything = rows.count()
    page.get_by_label("contradicted", exact=True).check(force=True)
    assert rows.count() == 2
    page.get_by_label("all", exact=True).check(force=True)
    assert rows.count() == everything == len(findings()) + 1


def test_the_pointer_gets_series_values_and_interval(wide: Visit) -> None:
    page = wide.page
    point = page.locator('#csr-training .live path[opacity="0"]').nth(20)
    point.scroll_into_view_if_needed()
    tip = page.locator("#vg-tooltip-element.visible")
    # On a busy machine a chart may be laid out again under a pointer that has just come to rest.
    for _ in range(10):
        page.mouse.move(0, 0)
        point.hover(force=True)
        with contextlib.suppress(PlaywrightTimeout):
            tip.wait_for(timeout=2_000)
            break
    words = tip.inner_text()
    for word in ("training data", "epoch", "critical sample ratio", "95% from", "95% to"):
        assert word in words


def test_charts_have_names_for_those_who_cannot_see_them(wide: Visit) -> None:
    for figure in figures():
        label = wide.page.locator(f"figure#{figure.id} .live").get_attribute("aria-label")
        assert label == f"{figure.title}. {figure.reading}"


def test_without_javascript_the_static_drawings_are_there(browser: Browser, folder: Path) -> None:
    context = browser.new_context(viewport=WIDE, java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    for figure in figures():
        assert page.locator(f"figure#{figure.id} .still svg").is_visible()
    assert not page.locator(".filter").is_visible()
    context.close()


def test_a_page_without_charts_is_quiet(opened: Any, tmp_path: Path) -> None:
    path = write_report(tmp_path, session(), records(), findings(), sections()[:0])
    assert opened(path, viewport=WIDE).said == []

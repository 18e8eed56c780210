"""The page of an audit in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from tests.auditing.audits import made_up, table
from tests.report.test_escaping import HOSTILE
from tests.report.visits import PHONE, WIDE, Visit, colour, nothing_sticks_out, overflow, visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("audit") / "report.html"
    return made_up(table=table(1000, share=0.06)).to_html(target)


@pytest.fixture(scope="module")
def wide(browser: Browser, path: Path) -> Iterator[Visit]:
    """Yield the page on a large screen; tests leave it as they found it."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    yield visit(context, path)
    context.close()


@pytest.fixture
def opened(browser: Browser, path: Path) -> Iterator[Any]:
    contexts: list[BrowserContext] = []

    def opens(at: Path = path, **circumstances: Any) -> Visit:
        contexts.append(browser.new_context(**circumstances))
        return visit(contexts[-1], at)

    yield opens
    for context in contexts:
        context.close()


def test_charts_draw_and_nothing_is_said_or_asked_for(wide: Visit, path: Path) -> None:
    for name in ("onset", "map", "belief"):
        box = wide.page.locator(f"figure#{name} .live svg").bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 150
    assert wide.said == []
    assert {url for url in wide.asked if not url.startswith("data:")} == {path.as_uri()}


def test_nothing_sticks_out_sideways_at_any_width(opened: Any) -> None:
    nothing_sticks_out(opened(viewport=PHONE).page)


def test_pointing_at_a_dot_shows_its_example_and_a_click_keeps_it(opened: Any) -> None:
    page = opened(viewport=WIDE).page
    detail, dots = page.locator("#detail"), page.locator('#map .live path[fill="#c65102"]')
    dots.nth(0).scroll_into_view_if_needed()
    dots.nth(0).hover(force=True)
    page.wait_for_selector("#detail .card.mislabelled")
    first = detail.get_attribute("data-id")
    assert page.locator(f"#example-{first} img").get_attribute("src") == detail.locator(
        "img"
    ).get_attribute("src")
    dots.nth(0).click(force=True)
    kept = detail.get_attribute("data-id")
    dots.nth(9).hover(force=True)
    assert detail.get_attribute("data-id") == kept


def test_a_dot_without_a_card_in_the_gallery_has_its_picture_too(wide: Visit) -> None:
    page = wide.page
    typical = page.locator('#map .live .layer_1_marks path[fill="#747b85"]')
    typical.nth(5).scroll_into_view_if_needed()
    typical.nth(5).click(force=True)
    page.wait_for_selector("#detail .card img")
    assert page.locator("#detail img").evaluate("e => e.complete && e.naturalWidth") == 8


def test_the_gallery_opens_in_full_and_by_verdict(opened: Any) -> None:
    page = opened(viewport=WIDE).page
    shown = page.locator(".cards > li:visible")
    assert shown.count() == 24
    assert page.locator("#count").inner_text() == "24 of 60"
    page.locator("#more").click()
    assert shown.count() == 60
    assert not page.locator("#more").is_visible()
    page.get_by_label("rare", exact=True).check(force=True)
    assert shown.count() == 20
    assert page.locator("#count").inner_text() == "20 of 20"


def test_all_cards_are_printed(wide: Visit) -> None:
    page = wide.page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".cards > li:visible").count() == 60
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".cards > li:visible").count() == 24


def test_the_list_downloads(wide: Visit) -> None:
    page = wide.page
    with page.expect_download() as started:
        page.get_by_text("Download the list").click()
    text = Path(started.value.path()).read_text(encoding="utf-8")
    assert started.value.suggested_filename == "flagged.csv"
    assert text.startswith("id,label,label_name,suspicion")
    assert len(text.splitlines()) == 61


def test_dark_mode_changes_page_and_map(wide: Visit, opened: Any) -> None:
    light, dark = wide.page, opened(viewport=WIDE, color_scheme="dark").page
    dot = '#map .live [fill="#c65102"]'
    assert colour(light, dot, "fill") == "rgb(198, 81, 2)"
    assert colour(dark, dot, "fill") == "rgb(240, 137, 74)"
    for selector in ("body", ".alerts li", ".chip"):
        what = "background-color" if selector != ".chip" else "color"
        assert colour(light, selector, what) != colour(dark, selector, what)


def test_without_javascript_everything_is_there(browser: Browser, path: Path) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".cards > li:visible").count() == 60
    assert page.locator("#map .still").is_visible()
    assert not page.locator("#detail").is_visible()
    assert not page.locator("#more").is_visible()
    assert overflow(page) <= 0
    context.close()


def test_a_click_shows_a_hostile_name_as_it_is(opened: Any, tmp_path: Path) -> None:
    text = " ".join(HOSTILE)
    audit = made_up(name=text, classes=(text, *"123456789"))
    path = audit.to_html(tmp_path / "report.html", about={text: text})
    page = opened(path, viewport=WIDE).page
    dots = page.locator("#map .live path[fill='#c65102']")
    dots.nth(2).scroll_into_view_if_needed()
    dots.nth(2).click(force=True)
    page.wait_for_selector("#detail .card")
    assert page.evaluate("window.hacked") is None
    assert text in page.locator("h1").text_content()


def test_a_page_of_everything_opens_fast(opened: Any, tmp_path: Path) -> None:
    audit = made_up(table=table(60_000, share=0.02))
    page = opened(audit.to_html(tmp_path / "report.html"), viewport=WIDE).page
    assert page.locator(".cards > li").count() == 200
    assert (tmp_path / "report.html").stat().st_size < 3_500_000

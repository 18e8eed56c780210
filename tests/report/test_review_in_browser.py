"""The review view of an audit's page in a real Chromium: from the first key to the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.auditing.audits import CLASSES, made_up, unreviewed
from tests.report.visits import PHONE, WIDE, Visit, colour, visit

pytestmark = pytest.mark.browser

AUDIT = made_up(calibration=unreviewed())
COMMAND = "byheart audit digits --out out/audit"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("review") / "report.html"
    return AUDIT.to_html(target, about={"Command": COMMAND})


@pytest.fixture
def opened(browser: Browser, path: Path) -> Iterator[Any]:
    contexts: list[BrowserContext] = []

    def opens(at: Path = path, script: str = "", **circumstances: Any) -> Visit:
        contexts.append(browser.new_context(**{"viewport": WIDE} | circumstances))
        contexts[-1].add_init_script(script)
        return visit(contexts[-1], at)

    yield opens
    for context in contexts:
        context.close()


def saved(page: Page, within: str = "#review-controls") -> pd.DataFrame:
    """Press the button of the download, and return the file."""
    with page.expect_download() as started:
        page.locator(f"{within} .review-save").click()
    assert started.value.suggested_filename == "reviews.csv"
    return pd.read_csv(started.value.path(), dtype=str, keep_default_na=False)


def example(page: Page) -> dict[str, str]:
    """Return the id and both classes of the example on show."""
    data = "e => ({...e.dataset})"
    return dict(page.locator("#reviewer-example article").evaluate(data))


def test_a_review_by_keyboard_ends_in_a_file_that_the_audit_reads(opened: Any) -> None:
    visited = opened()
    page, keys = visited.page, visited.page.keyboard
    page.locator("#review-open").focus()
    keys.press("Enter")
    assert page.locator("#reviewer-example img").evaluate("e => e.naturalWidth") == 8
    assert page.locator("#reviewer-near img").count() == 6
    assert page.locator("#reviewer-label img").count() == 6
    shown = []
    for key in "rwus":
        shown.append(example(page))
        keys.press(key)
    shown.append(example(page))
    keys.press(shown[-1]["given"])  # the class that the label says
    for _ in range(10):
        keys.press("r")
    sample = AUDIT.to_review()
    assert [int(one["id"]) for one in shown] == sample.index[:5].tolist()
    assert "sample 16 of 100" in page.locator("#reviewer-count").inner_text()
    keys.press("Escape")
    table = saved(page)
    assert list(table) == ["id", "verdict", "label", "data"]
    assert table["verdict"].tolist()[:5] == ["right", "wrong", "unsure", "wrong", "right"]
    assert table["label"].tolist()[:5] == ["", "", "", CLASSES[int(shown[3]["suggested"])], ""]
    assert set(table["data"]) == set(sample["data"])
    assert AUDIT.review(table).calibration.reviews.count("wrong") == 2
    command = page.locator("#review > .review-next")
    assert f"{COMMAND} --reviews reviews.csv" in command.inner_text()
    assert visited.said == []


def test_verdicts_survive_a_reload_and_undo_goes_back_one_by_one(opened: Any) -> None:
    page = opened().page
    page.locator("#review-open").click()
    first = example(page)["id"]
    page.keyboard.press("w")
    second = example(page)["id"]
    page.keyboard.press("r")
    page.reload()
    page.wait_for_selector("html[data-charts=drawn]")
    assert "1 wrong, 1 right" in page.locator("#review-kept").inner_text()
    page.locator("#review-open").click()
    assert example(page)["id"] not in (first, second)
    page.keyboard.press("z")
    assert example(page)["id"] == second
    page.keyboard.press("ArrowLeft")
    assert "You said: wrong" in page.locator("#reviewer-example").inner_text()
    page.keyboard.press("u")
    assert saved(page, "#reviewer")[["id", "verdict"]].to_numpy().tolist() == [[first, "unsure"]]


def test_a_browser_that_refuses_to_keep_verdicts_says_so(opened: Any) -> None:
    refuses = "Object.defineProperty(window, 'localStorage', {get() { throw new Error(); }})"
    page = opened(script=refuses).page
    assert "does not keep your verdicts" in page.locator("#review-kept").inner_text()
    page.locator("#review-open").click()
    page.keyboard.press("w")
    assert len(saved(page, "#reviewer")) == 1


def test_an_earlier_file_is_imported_and_a_file_of_other_data_is_not(
    opened: Any, tmp_path: Path
) -> None:
    page = opened().page
    sample = AUDIT.to_review(12)
    sample["verdict"] = ["wrong", "right"] * 6
    sample.to_csv(tmp_path / "mine.csv")
    sample.assign(data="other").to_csv(tmp_path / "other.csv")
    field, told = page.locator("#review-file"), page.locator("#review-kept")
    field.set_input_files(tmp_path / "other.csv")
    told.filter(has_text="other.csv reviews another data set").wait_for()
    field.set_input_files(tmp_path / "mine.csv")
    told.filter(has_text=" reviewed: 6 wrong, 6 right").wait_for()
    assert told.inner_text().startswith("Imported 12 verdicts from mine.csv. 12 of ")
    assert AUDIT.review(saved(page)).calibration.reviews.count("wrong") == 6


def test_a_phone_in_the_dark_reviews_texts_of_many_classes(opened: Any, tmp_path: Path) -> None:
    classes = tuple(f"a class with number {k}" for k in range(40))
    audit = made_up(calibration=unreviewed(), classes=classes)
    texts = [f"the words of example {i} " * 40 for i in range(len(audit.table))]
    where = audit.to_html(tmp_path / "report.html", texts=texts)
    page = opened(where, viewport=PHONE, has_touch=True, color_scheme="dark").page
    page.locator("#review-open").tap()
    shown = example(page)
    assert f"the words of example {shown['id']} " in page.locator("#reviewer-example").inner_text()
    page.locator("#reviewer-class").select_option("33")
    assert saved(page, "#reviewer")["label"].tolist() == [classes[33]]
    assert "audit.review" in page.locator("#reviewer .review-next").inner_text()
    assert colour(page, "#reviewer", "background-color") == "rgb(20, 23, 28)"
    sides = "e => e.scrollWidth - e.clientWidth"
    assert page.locator("#reviewer").evaluate(sides) <= 0

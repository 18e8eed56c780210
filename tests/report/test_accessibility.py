"""No page breaks a rule of axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from tests.auditing.audits import made_up, table
from tests.hostile.test_pages import advice_page
from tests.report.test_review_in_browser import AUDIT
from tests.report.visits import PHONE, WIDE, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES: dict[str, Any] = {
    "audit": made_up(table=table(300, share=0.06)).to_html,
    "review": lambda path: AUDIT.to_html(path, texts=["some words"] * 300),
    "advice": lambda path: advice_page(path, "digits"),
}
UNFOLD = "for (const details of document.querySelectorAll('details')) details.open = true"
RULES = {"rules": {"target-size": {"enabled": True}}}
UNSEEN = "color-contrast"
"""The one rule that may stay undecided: axe-core cannot see what lies under the text of a chart."""


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", WIDE), ("dark", PHONE)], ids=["wide", "phone"]
)
@pytest.mark.parametrize("kind", ["study", *PAGES])
def test_a_page_breaks_no_rule_of_axe(
    browser: Browser, folder: Path, tmp_path: Path, kind: str, scheme: Any, size: Any
) -> None:
    path = folder / "report.html" if kind == "study" else PAGES[kind](tmp_path / "page.html")
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        page = visit(context, path).page
        page.evaluate(UNFOLD)
        if kind == "review":
            page.locator("#review-open").click()
        result = Axe().run(page, options=RULES).response
    assert [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in result["violations"] + result["incomplete"]
        for node in rule["nodes"]
        if rule["id"] != UNSEEN or rule in result["violations"]
    ] == []

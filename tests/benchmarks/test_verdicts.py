"""The table of verdicts in docs/results."""

from typing import Any

import pytest
from benchmarks.verdicts import BEGIN, END, PAGE, stored, verdicts, written


def finding(claim: str, verdict: str, **estimates: float) -> dict[str, Any]:
    parts = [
        {"statistic": name, "estimate": value, "ci": [value - 1, value + 1]}
        for name, value in estimates.items()
    ]
    return {
        "claim": claim,
        "verdict": verdict,
        "statistic": parts[0]["statistic"],
        "parts": parts,
    }


def test_the_committed_page_holds_the_table_of_the_committed_findings() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page, verdicts(stored())), "run python -m benchmarks.verdicts"


def test_all_cells_of_a_claim_show_the_same_statistic() -> None:
    text = verdicts(
        {
            "digits": [finding("c", "contradicted", first=-7.0, second=5.0)],
            "mnist": [finding("c", "supported", second=3.0, first=9.0)],
        }
    )
    assert "| `c` | second | ✗ 5 [4, 6] | ✓ 3 [2, 4] |" in text
    assert "8x8 digits: 0 supported, 1 contradicted, 0 inconclusive" in text


def test_a_claim_that_was_not_asked_on_a_data_set_is_named() -> None:
    text = verdicts({"digits": [finding("c", "supported", first=1.0)], "mnist": []})
    assert "| `c` | first | ✓ 1 [0, 2] | not asked |" in text


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match=BEGIN):
        written(f"{END} {BEGIN}", "table")

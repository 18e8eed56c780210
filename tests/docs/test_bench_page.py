"""The page of the bench says what its JSON says."""

import json
from typing import Any

import pytest
from benchmarks.page import FOLDER, NAMES, page, reached

DUEL: dict[str, Any] = {
    "row": "small pack", "work": "w", "peer": "a loop", "ours_seconds": 1.0, "peer_seconds": 4.0,
    "ratio": {"median": 4.0, "low": 3.5, "high": 4.5}, "limit_fraction": 0.5, "agree": True,
    "agreement": "weights | the same", "wanted": 3, "wanted_of_limit": None, "pairs": 5, "note": "",
}  # fmt: skip
ALONE: dict[str, Any] = DUEL | {
    "row": "quick study", "peer": None, "ratio": None, "wanted": None, "limit_fraction": None,
    "ours_seconds": 100.0, "wanted_seconds": 120, "peak_bytes": 2**30, "wanted_bytes": 2**30,
}  # fmt: skip
LINE = {
    "measure": "training", "factor": "width", "sizes": [1, 2], "seconds": [0.1, 0.2],
    "operations": [1.0, 4.0], "exponent": 1.0, "low": 0.9, "high": 1.1, "predicted": 2.0,
}  # fmt: skip


def test_the_page_is_what_its_json_files_make_it() -> None:
    bench, growth = (json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in NAMES)
    written = (FOLDER / "bench.md").read_text(encoding="utf-8")
    assert written == page(bench, growth), "run `python -m benchmarks.page`"


def test_a_row_that_is_reached_is_not_held_back() -> None:
    text = page([DUEL, ALONE], [LINE])
    assert "| ✓ | **small pack**<br>w<br>*weights \\| the same* | a loop | 1 s | 4 s |" in text
    assert "| 4 (3.5 to 4.5) | 3 | 50% |" in text
    assert "*weights \\| the same* | 100 | 120 | 1.00 GiB | 1 GiB |" in text
    assert "All are reached." in text
    assert "| training | width | 1 to 2 | 0.1 to 0.2 | 1.00 (0.90 to 1.10) | 2.00 |" in text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DUEL | {"wanted": 5}, "- **small pack** (w) against a loop: 4 of 5; not profiled yet."),
        (DUEL | {"wanted_of_limit": 0.6}, "4 of 3, 50% of 60% of the limit"),
        (DUEL | {"row": "CNN pack", "wanted": 5}, "half of a step is convolutions"),
        (ALONE | {"ours_seconds": 130.0}, "130 of 120 s, 1.00 of 1 GiB"),
        (ALONE | {"peak_bytes": 2**31}, "100 of 120 s, 2.00 of 1 GiB"),
    ],
)
def test_a_row_that_falls_short_says_by_how_much_and_why(row: dict[str, Any], words: str) -> None:
    assert not reached(row)
    text = page([row], [])
    assert words in text
    assert "✗" in text

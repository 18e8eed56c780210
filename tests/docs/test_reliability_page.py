"""The page on reliability says what its JSON files say."""

import json
from typing import Any

from benchmarks.reliability import PAGE, RESULTS, page, summed

LOAD: dict[str, Any] = {
    "packs": 2000, "first_quarter_ms": 5.0, "last_quarter_ms": 5.04,
    "bytes_after_tenth": 300 * 2**20, "bytes_at_end": 301 * 2**20, "store_bytes": 2**23,
    "page_bytes": 2**20, "drawing_seconds": 2.0,
    "load_seconds": 1.0, "drawn_seconds": 1.5, "drawn_processor_seconds": 0.5,
}  # fmt: skip
LINES: list[dict[str, Any]] = [
    {"fault": "driver, SIGKILL", "lost": 0},
    {"fault": "driver, SIGKILL", "lost": 2, "again": 1},
    {"study": "driver, SIGKILL", "findings": 4, "changed": 1},
    {"fault": "clock", "lost": 0, "again": 0},
]


def test_the_page_is_what_its_json_files_make_it() -> None:
    faults, load = (
        json.loads((RESULTS / name).read_text(encoding="utf-8"))
        for name in ("faults.json", "load.json")
    )
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(faults, load), "run `python -m benchmarks.reliability`"


def test_faults_of_a_kind_are_summed_and_what_was_lost_or_changed_is_said() -> None:
    text = page(summed(LINES), LOAD)
    assert "| driver, SIGKILL | 2 | 2 | 1 | 1 | 1 of 4 |" in text
    assert "| clock | 1 | 0 | 0 |  |  |" in text
    assert "3 faults, **2 trials lost**; 1 studies run to" in text
    assert "**1 of 4 findings changed**" in text


def test_the_load_is_said_with_what_grew() -> None:
    text = page(summed(LINES), LOAD)
    assert "300 MiB after a tenth of the packs, 301 MiB after the last, +1.0 MiB" in text
    assert "5.0 ms in the first quarter, 5.0 ms in the last" in text
    assert "charts after 1.50 s" in text

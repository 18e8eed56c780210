"""The pages that are made from measured figures say what these figures say."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.audit import page as audit_page
from benchmarks.audit.summary import answers

from benchmarks import page as bench_page
from benchmarks import reliability

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
LOAD: dict[str, Any] = {
    "packs": 2000, "first_quarter_ms": 5.0, "last_quarter_ms": 5.04,
    "bytes_after_tenth": 300 * 2**20, "bytes_at_end": 301 * 2**20, "store_bytes": 2**23,
    "page_bytes": 2**20, "drawing_seconds": 2.0,
    "load_seconds": 1.0, "drawn_seconds": 1.5, "drawn_processor_seconds": 0.5,
}  # fmt: skip
FAULTS: list[dict[str, Any]] = [
    {"fault": "driver, SIGKILL", "lost": 0},
    {"fault": "driver, SIGKILL", "lost": 2, "again": 1},
    {"study": "driver, SIGKILL", "findings": 4, "changed": 1},
    {"fault": "clock", "lost": 0, "again": 0},
]


def figures(folder: Path, *names: str) -> list[Any]:
    return [json.loads((folder / name).read_text(encoding="utf-8")) for name in names]


def test_the_pages_are_what_their_figures_make_them() -> None:
    """``python -m`` with the module's name makes a page again."""
    rows = audit_page.read(audit_page.FOLDER / f"{audit_page.NAME}.jsonl")
    written = (audit_page.FOLDER / f"{audit_page.NAME}.md").read_text(encoding="utf-8")
    assert written == audit_page.page(rows), "benchmarks.audit.page"
    written = (bench_page.FOLDER / "bench.md").read_text(encoding="utf-8")
    assert written == bench_page.page(*figures(bench_page.FOLDER, *bench_page.NAMES))
    written = reliability.PAGE.read_text(encoding="utf-8")
    counted = figures(reliability.RESULTS, "faults.json", "load.json")
    assert written == reliability.page(*counted), "benchmarks.reliability"


def test_a_row_that_reaches_its_targets_is_not_held_back() -> None:
    text = bench_page.page([DUEL, ALONE], [LINE])
    assert "| ✓ | **small pack**<br>w<br>*weights \\| the same* | a loop | 1 s | 4 s |" in text
    assert "| 4 (3.5 to 4.5) | 3 | 50% |" in text
    assert "*weights \\| the same* | 100 | 120 | 1.00 GiB | 1 GiB |" in text
    assert "All rows reach their targets." in text
    assert "| training | width | 1 to 2 | 0.1 to 0.2 | 1.00 (0.90 to 1.10) | 2.00 |" in text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DUEL | {"wanted": 5}, "- **small pack against a loop** (w: 4 of 5). Not profiled yet."),
        (DUEL | {"wanted_of_limit": 0.6}, "4 of 3, 50% of 60% of the limit"),
        (DUEL | {"row": "CNN pack", "wanted": 5}, "convolutions take half of a step"),
        (ALONE | {"ours_seconds": 130.0}, "130 of 120 s, 1.00 of 1 GiB"),
        (ALONE | {"peak_bytes": 2**31}, "100 of 120 s, 2.00 of 1 GiB"),
    ],
)
def test_a_row_that_misses_a_target_says_by_how_much_and_why(
    row: dict[str, Any], words: str
) -> None:
    assert not bench_page.reached(row)
    text = bench_page.page([row], [])
    assert words in text
    assert "✗" in text


def test_faults_are_summed_by_kind_and_losses_are_told() -> None:
    text = reliability.page(reliability.summed(FAULTS), LOAD)
    assert "| driver, SIGKILL | 2 | 2 | 1 | 1 | 1 of 4 |" in text
    assert "| clock | 1 | 0 | 0 |  |  |" in text
    assert "3 faults, **2 trials lost**; 1 studies run to" in text
    assert "**1 of 4 findings changed**" in text
    assert "300 MiB after a tenth of the packs, 301 MiB after the last, +1.0 MiB" in text
    assert "5.0 ms in the first quarter, 5.0 ms in the last" in text
    assert "charts after 1.50 s" in text


def ranked(seed: int, ours: float, theirs: float) -> list[dict[str, Any]]:
    def metrics(name: str, area: float) -> dict[str, Any]:
        return {name: {"auroc": area, "average_precision": area, "missed": 1 - area}}

    curve = {"auroc": [0.9], "average_precision": [0.9], "missed": [0.1]}
    parts = {
        "ours": {"rankings": metrics("byheart", ours)},
        "dynamics": {"rankings": metrics("AUM", theirs)},
        "folds": {"cleanlab": {"self-confidence": curve}},
        "halves": {"rankings": metrics("second-split forgetting", 0.8)},
    }
    case = {"source": "mnist", "momentum": 0.9, "rate": 0.4, "pairs": False, "seed": seed}
    return [case | {"part": part, "found": result} for part, result in parts.items()]


def test_a_peer_that_is_better_is_told() -> None:
    rows = [row for seed in range(5) for row in ranked(seed, 0.95 + seed / 1000, 0.96)]
    first, second = (answers(rows)[k] for k in (0, 1))
    assert first.reached is False
    assert first.result == "of 4 comparisons byheart is better in 3 and worse in 1"
    assert second.reached is True
    text = audit_page.page(rows)
    assert f"| ✗ | {first.goal}" in text
    assert "### MNIST with momentum\n\n| ranking | 40% random |" in text
    assert "| AUM | 0.9600 (**-0.0080**) |" in text


def test_a_goal_that_is_not_fully_measured_is_open() -> None:
    rows = [row for seed in range(4) for row in ranked(seed, 0.95, 0.96)]
    assert {answer.reached for answer in answers(rows)} == {None}
    assert "| ? | MNIST: the 90% interval of precision" in audit_page.page(rows)

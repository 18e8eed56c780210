"""The page of the bench of the audit says what its rows say."""

from typing import Any

from benchmarks.audit.asked import answers
from benchmarks.audit.page import FOLDER, NAME, page, read


def test_the_page_is_what_its_rows_make_it() -> None:
    written = (FOLDER / f"{NAME}.md").read_text(encoding="utf-8")
    assert written == page(read(FOLDER / f"{NAME}.jsonl")), "run `python -m benchmarks.audit.page`"


def ranked(seed: int, ours: float, theirs: float) -> list[dict[str, Any]]:
    def found(name: str, area: float) -> dict[str, Any]:
        return {name: {"auroc": area, "average_precision": area, "missed": 1 - area}}

    curve = {"auroc": [0.9], "average_precision": [0.9], "missed": [0.1]}
    parts = {
        "ours": {"rankings": found("byheart", ours)},
        "dynamics": {"rankings": found("AUM", theirs)},
        "folds": {"cleanlab": {"self-confidence": curve}},
        "halves": {"rankings": found("second-split forgetting", 0.8)},
    }
    own = {"source": "mnist", "momentum": 0.9, "rate": 0.4, "pairs": False, "seed": seed}
    return [own | {"part": part, "found": one} for part, one in parts.items()]


def test_a_peer_that_is_better_is_told_of() -> None:
    rows = [row for seed in range(5) for row in ranked(seed, 0.95 + seed / 1000, 0.96)]
    first, second = (answers(rows)[k] for k in (0, 1))
    assert first.holds is False
    assert "better in 3 of 4 comparisons and worse in 1" in first.came_to
    assert second.holds is True
    text = page(rows)
    assert f"| ✗ | {first.asked}" in text
    assert "| AUM | 0.9600 | 0.960 | 4.0% | **-0.0080** [-0.00" in text
    assert "### MNIST, with momentum, 40% of labels drawn anew (5 data sets)" in text


def test_what_was_not_measured_to_the_end_is_neither_held_nor_missed() -> None:
    rows = [row for seed in range(4) for row in ranked(seed, 0.95, 0.96)]
    assert {one.holds for one in answers(rows)} == {None}
    assert "| ? | MNIST: the true precision is in its 90% interval" in page(rows)

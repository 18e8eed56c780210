"""The how-to on choosing a regularizer: its code runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "advise.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TO_MNIST = {'"digits"': '"mnist"', "nn.Linear(64, 64)": "nn.Linear(784, 64)"}


def run(page: str) -> dict[str, float]:
    """Return the accuracies that a page ends with, by what was done."""
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.findall(page):
        exec(compile(block, "advise.md", "exec"), names)
    return names["steps"]


@pytest.mark.slow
def test_its_code_runs_and_training_as_advised_is_better_by_the_right_labels() -> None:
    before, cleaned, advised = run(PAGE).values()
    assert advised > before
    assert min(before, cleaned) > 0.6


@pytest.mark.slow
@pytest.mark.mnist
def test_the_same_holds_on_mnist() -> None:
    page = PAGE
    for old, new in TO_MNIST.items():
        assert old in page
        page = page.replace(old, new)
    before, cleaned, advised = run(page).values()
    assert advised > before
    assert min(before, cleaned) > 0.5

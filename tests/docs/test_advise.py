"""The how-to on choosing a regularizer: its code runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "advise.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_its_code_runs_and_comes_to_a_trained_model(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.findall(PAGE):
        exec(compile(block, "advise.md", "exec"), names)
    advice = names["advice"]
    assert advice.recommended is not None
    assert advice.why in capsys.readouterr().out
    test, model = names["test"], names["model"]
    right = (model.eval()(test.x).argmax(1) == test.y).float().mean()
    assert right > 0.7

"""The code of the tutorials runs as printed, from top to bottom."""

import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_the_code_of_a_tutorial_runs_as_printed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks, f"{page.name} shows no code"
    namespace: dict[str, object] = {"__name__": "tutorial"}
    for block in blocks:
        # Blank lines put the code where it stands on the page, so that a traceback points there.
        lines_above = "\n" * (text[: block.start(1)].count("\n"))
        exec(compile(lines_above + block[1], str(page), "exec"), namespace)

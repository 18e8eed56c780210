"""The code of the README, the tutorial and two how-tos runs as printed, from top to bottom."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = [DOCS / "how-to" / name for name in ("track.md", "audit.md")]
PAGES = [DOCS.parent / "README.md", *sorted((DOCS / "tutorials").glob("*.md")), *HOW_TO]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
# What the frameworks say of this machine, and of settings that a page leaves as they are.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_as_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks, f"{page.name} shows no code"
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        # Blank lines put the code where it stands on the page, so that a traceback points there.
        lines_above = "\n" * (text[: block.start(1)].count("\n"))
        exec(compile(lines_above + block[1], str(page), "exec"), namespace)

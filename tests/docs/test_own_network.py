"""The how-to on networks of one's own: its file imports, its commands are understood."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from byheart.cli.main import main
from byheart.studies.registry import claims

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-network.md").read_text("utf-8")
FILE = re.compile(r'^```python title="(.+?)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files of the page, from which byheart is started."""
    written = FILE.findall(PAGE)
    assert written
    for name, text in written:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_its_commands_plan_what_it_says(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^byheart study (.*--model .*)$", PAGE, re.MULTILINE)
    assert commands
    for words in commands:
        # Planned, not run; of three seeds, so that nothing takes long.
        assert main(["plan", *words.split(), "--seeds", "3"]) == 0
    (said,) = re.findall(r"^mynet:network: .*$", PAGE, re.MULTILINE)
    assert said in capsys.readouterr().err.splitlines()


def test_its_table_names_the_claims_that_declare_a_need() -> None:
    for claim in claims():
        if claim.needs:
            row = rf"`{claim.id}`.*\| {re.escape(claim.needs)} \|$"
            assert re.search(row, PAGE, re.MULTILINE), claim.id

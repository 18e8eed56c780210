"""``byheart report``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def folder(byheart: Run, tiny: str, tmp_path: Path) -> Path:
    """Return the output folder of a finished study."""
    words = ("study", "capacity-data", "--preset", tiny, "--runner", "inline", "--out", tmp_path)
    assert byheart(*words).code == 0
    return tmp_path


def test_what_is_drawn_again_is_the_same(byheart: Run, folder: Path) -> None:
    drawn = [folder / "report.html", folder / "findings.json", *folder.glob("figures/*.svg")]
    before = {path: path.read_bytes() for path in drawn}
    for path in drawn:
        path.unlink()
    again = byheart("report", folder)
    assert again.code == 0
    assert again.out.splitlines()[-1] == str(folder / "report.html")
    assert {path: path.read_bytes() for path in drawn} == before


def test_json_prints_the_findings(byheart: Run, folder: Path) -> None:
    assert json.loads(byheart("report", folder, "--json").out)[0]["claim"] == "capacity-data"


def test_a_folder_without_a_study_gets_one_line(byheart: Run, tmp_path: Path) -> None:
    refused = byheart("report", tmp_path / "nothing")
    assert refused.code == 2
    assert str(tmp_path / "nothing") in refused.error
    assert not (tmp_path / "nothing").exists()

"""Studies from other packages and from Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies.installed import Install
from tests.studies.installed import install as install
from tests.studies.tiny import TINY

import byheart
from byheart.cli.main import main
from byheart.errors import InputError, StoreError
from byheart.runners.base import InlineRunner
from byheart.store import Store
from byheart.studies import registry
from byheart.studies.capacity import CapacityData
from byheart.studies.folder import load_session
from byheart.studies.presets import PRESETS

PAPERS = tuple(claim.id for study in registry.STUDIES for claim in study.claims)
MODULE = """
from dataclasses import replace
from byheart.studies.capacity import CapacityData
class {name}(CapacityData):
    claims = tuple(replace(claim, id="{id}") for claim in CapacityData.claims)
"""
GOOD = MODULE.format(name="Good", id="mine")


class Mine(CapacityData):
    """A study of the papers under another id."""

    title = "My title"
    claims = tuple(type(c)("mine", "me", c.statement, c.rule) for c in CapacityData.claims)

    def judge(self, records, setting):
        return {"mine": super().judge(records, setting)["capacity-data"]}

    def figures(self, records, setting):
        return [replace(super().figures(records, setting)[0], id="mine")]


def test_an_installed_study_is_known_but_only_studied_by_name(install: Install) -> None:
    install("good", {"good.py": GOOD}, {"mine": "good:Good"})
    assert [claim.id for claim in registry.claims()] == [*PAPERS, "mine"]
    assert registry.problems() == ()
    assert registry.chosen_claims(()) == PAPERS
    assert registry.chosen_claims(["mine", PAPERS[0]]) == (PAPERS[0], "mine")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("Bad = 3", "InputError: 3 is no study: it needs name, title, source, claims, plan"),
        (MODULE.format(name="Bad", id=PAPERS[0]), f"another study has a claim '{PAPERS[0]}'"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_and_stops_no_other(
    install: Install, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    install("bad-one", {"bad.py": text, "good.py": GOOD}, {"a": "bad:Bad", "mine": "good:Good"})
    assert main(["claims"]) == 0
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("the claims of package 'bad-one' are left out: ")
    assert reason in line
    assert "\nmine " in shown.out


def test_a_study_from_python_is_judged_and_its_folder_needs_it(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    for _ in range(2):  # a notebook's cell, run again
        findings = byheart.study(
            ["capacity-data", Mine()], preset="tiny", out=tmp_path / "out", runner=InlineRunner(1)
        )
    theirs, mine = findings
    assert (theirs.claim, mine.claim) == ("capacity-data", "mine")
    assert mine.estimate == theirs.estimate
    page = findings.page.read_text(encoding="utf-8")
    assert "My title" in page
    assert (tmp_path / "out" / "figures" / "mine.svg").is_file()
    assert "of two papers" not in page
    monkeypatch.setattr(registry, "_added", [])
    with (
        Store.open(tmp_path / "out") as store,
        pytest.raises(StoreError, match=r"does not know \(mine\): install the package"),
    ):
        load_session(store)


def test_a_study_from_python_takes_no_id_of_the_papers(install: Install) -> None:
    class Taken(CapacityData):
        pass

    with pytest.raises(InputError, match="another study has a claim 'capacity-data'"):
        registry.add(Taken())

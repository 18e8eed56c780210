"""``byheart.study``, and the folder that several studies write to."""

import json
import re

import pandas as pd
import pytest
from tests.studies.tiny import TINY

import byheart
from byheart.errors import InputError
from byheart.runners.base import InlineRunner, Progress
from byheart.store import Store
from byheart.studies.presets import PRESETS

BOTH = ["capacity-noise", "capacity-data"]


@pytest.fixture(scope="module", autouse=True)
def presets():
    """Make two presets known whose capacity studies take a moment."""
    smaller = TINY.capacity.model_copy(update={"train": 30})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        patch.setitem(
            PRESETS, "other", TINY.model_copy(update={"name": "other", "capacity": smaller})
        )
        yield


class Notes(Progress):
    """Remembers the lines that a user would read."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def study(claims, out, *, notes=None, **options):
    options = {"preset": "tiny", "runner": InlineRunner(1), **options}
    return byheart.study(claims, out=out, progress=notes or Notes(), **options)


def claims_in(folder):
    rows = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    return {row["claim"]: row for row in rows}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return study(BOTH, folder)


def test_findings_are_a_sequence_a_table_and_a_page(finished, tmp_path):
    assert [finding.claim for finding in finished] == BOTH
    assert (len(finished), finished.failed) == (2, 0)
    assert finished[0].claim == BOTH[0]
    assert [finding.claim for finding in finished[1:]] == BOTH[1:]
    table = finished.table
    assert isinstance(table, pd.DataFrame)
    assert list(table.index) == BOTH
    assert table.loc[BOTH[0], "estimate"] == finished[0].estimate
    assert (table.low <= table.high).all()
    path = finished.to_html(tmp_path / "new" / "page.html")
    assert path.read_bytes() == finished.page.read_bytes()
    head, columns, *rows = repr(finished).splitlines()
    assert head == f"Findings in {finished.folder}"
    assert columns.split() == ["verdict", "estimate", "low", "high", "n"]
    assert [row.split()[:2] for row in rows] == [[f.claim, f.verdict] for f in finished]


def test_findings_show_themselves_in_a_notebook(finished):
    shown = finished._repr_html_()
    assert all(claim in shown for claim in BOTH)
    assert "<script" not in shown


def test_a_later_study_of_one_claim_keeps_the_findings_and_figures_of_the_others(tmp_path):
    first = study("capacity-noise", tmp_path)
    second = study("capacity-data", tmp_path)
    assert ([len(first), len(second)], list(claims_in(tmp_path))) == ([1, 1], BOTH)
    page = second.page.read_text(encoding="utf-8")
    assert all(f'id="claim-{claim}"' in page for claim in BOTH)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {"capacity-width", "capacity-size"}
    assert "byheart study capacity-noise capacity-data --preset tiny" in page


def test_studies_one_by_one_leave_the_findings_of_one_study(finished, tmp_path):
    for claim in reversed(BOTH):
        study(claim, tmp_path)
    alone, together = (claims_in(folder) for folder in (tmp_path, finished.folder))
    for row in (*alone.values(), *together.values()):
        del row["seconds"]
    assert alone == together


def test_each_claim_keeps_its_own_number_of_seeds(tmp_path):
    study("capacity-noise", tmp_path)
    more = study("capacity-data", tmp_path, seeds=4)
    assert {claim: row["n"] for claim, row in claims_in(tmp_path).items()} == {
        "capacity-noise": 3,
        "capacity-data": 4,
    }
    page = more.page.read_text(encoding="utf-8")
    assert re.search(r"<dt>Seeds</dt><dd>4; capacity-noise: 3</dd>", page)


def test_a_study_of_another_preset_replaces_the_findings_and_says_so(tmp_path):
    study(BOTH, tmp_path)
    (tmp_path / "figures" / "mine.svg").write_text("<svg></svg>")
    notes = Notes()
    study("capacity-noise", tmp_path, notes=notes, preset="other")
    assert list(claims_in(tmp_path)) == ["capacity-noise"]
    [line] = notes.lines
    assert "holds a study of preset 'tiny' on digits with MLPs" in line
    assert "this one, of preset 'other' on digits with MLPs, replaces its findings" in line
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {"capacity-width", "mine"}


def test_a_claim_whose_trials_are_lost_is_told_and_left_out(tmp_path):
    study(BOTH, tmp_path)
    with Store.open(tmp_path) as store:
        narrow = [
            t.key for t in store.list() if t.facts["algorithm"]["network"]["hidden"] == [4, 4]
        ]
        assert store.forget(narrow) > 0
    notes = Notes()
    study("capacity-data", tmp_path, notes=notes)
    assert list(claims_in(tmp_path)) == ["capacity-data"]
    assert "not all trials of capacity-noise are stored" in notes.lines[0]


def test_a_folder_of_another_command_is_replaced_with_a_line(tmp_path):
    with Store.open(tmp_path) as store:
        store.save_run({"command": ["byheart", "advise", "digits"]})
    notes = Notes()
    study("capacity-noise", tmp_path, notes=notes)
    assert "replaces its findings and page" in notes.lines[0]


def test_a_data_set_may_be_given_and_must_be_clean(tmp_path):
    digits = byheart.load_dataset("digits")
    found = study("capacity-noise", tmp_path / "clean", data=digits)
    assert found[0].data == "digits"
    with pytest.raises(InputError, match="give the clean one"):
        study("capacity-noise", tmp_path / "noisy", data=byheart.corrupt(digits, labels=0.5))
    assert not (tmp_path / "noisy").exists()


def test_a_model_without_a_name_to_import_is_refused(tmp_path):
    with pytest.raises(InputError, match="function of an importable module"):
        study("capacity-data", tmp_path, model=lambda: None)

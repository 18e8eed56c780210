"""What was done is noted as it goes, and summed for the page."""

import json

from benchmarks.reliability import summed
from tests.faults import ledger


def test_what_is_noted_is_what_is_summed(tmp_path, monkeypatch):
    log = tmp_path / "new" / "faults.jsonl"
    monkeypatch.setenv("BYHEART_FAULTS_LOG", str(log))
    ledger.note_fault("a kind", lost=0)
    ledger.note_fault("a kind", lost=1, again=2)
    ledger.note_study("a kind", findings=4, changed=3)
    (row,) = summed(json.loads(line) for line in log.read_text().splitlines())
    assert row == {
        "kind": "a kind",
        "times": 2,
        "lost": 1,
        "again": 2,
        "studies": 1,
        "findings": 4,
        "changed": 3,
    }


def test_without_a_file_nothing_is_noted(tmp_path, monkeypatch):
    monkeypatch.delenv("BYHEART_FAULTS_LOG", raising=False)
    monkeypatch.chdir(tmp_path)
    ledger.note_fault("a kind", lost=0)
    assert list(tmp_path.iterdir()) == []

"""Stores with a flipped bit or a missing end: what is damaged is named and trained again."""

import json
import random

import pytest
from tests.faults import driver
from tests.faults.ledger import FAULTS, note_fault, note_study
from tests.studies.tiny import without_timings

from byheart.errors import StoreError
from byheart.store import Store

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("kind", ["store, a bit flipped", "store, its end cut off"])
def test_what_is_damaged_is_named_and_trained_again(tmp_path, unhurt, kind):
    folder, findings = unhurt
    content, draw = (folder / "results.sqlite").read_bytes(), random.Random(kind)
    for fault in range(FAULTS):
        hurt = bytearray(content)
        if kind.endswith("flipped"):
            hurt[draw.randrange(len(hurt))] ^= 1 << draw.randrange(8)
        else:
            del hurt[draw.randrange(4096, len(hurt)) :]
        damaged = tmp_path / str(fault)
        damaged.mkdir()
        (damaged / "results.sqlite").write_bytes(hurt)
        saved = mended(damaged)
        result = driver.run(saved, driver.make_runner("inline"))
        found = json.loads(without_timings(result.findings))
        changed = sum(one != other for one, other in zip(found, findings, strict=True))
        note_fault(kind, lost=0, again=result.trained)
        note_study(kind, findings=len(findings), changed=changed)
        assert changed == 0


def mended(folder):
    """Do with a store what `verify` says; return the folder to go on in.

    Forget what is damaged; where the file itself is, take what is whole to another folder.
    """
    saved = folder / "saved"
    try:
        with Store.open(folder) as store:
            problems = store.verify()
            if all(problem.key for problem in problems):
                store.forget(problem.key for problem in problems)
                assert store.verify() == []
                return folder
        with Store.open(saved) as store:
            store.merge(folder)
            assert store.verify() == []
    except StoreError:  # it cannot be opened at all: it is moved away
        return folder / "anew"
    return saved

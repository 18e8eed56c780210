"""A study that is hurt again and again: after each fault it is seen what is still there."""

import json
import os
import random
import subprocess
import sys
import time

from tests.faults import ledger

from byheart.errors import StoreError
from byheart.store import Store

PATIENCE = 600
"""Seconds after which a driver that should have ended counts as one that never will."""


class Hurt:
    """Studies that one kind of fault strikes; where one has come to its end, the next begins.

    Args:
        root: folder for all of them.
        findings: of a study that nothing happened to.
        kind: of the fault, in words for the reader of the page.
    """

    def __init__(self, root, findings, kind):
        self.draw = random.Random(kind)
        self.kind = kind
        self.faults = self.studies = 0
        self._root, self._findings = root, findings
        self._begin()

    def _begin(self):
        self.folder = self._root / f"study-{self.studies}"
        self.folder.mkdir(parents=True)
        self.log = self.folder / "trained.log"
        self.log.touch()

    def start(self, runner, *more, env=None, command=(sys.executable, "-m", "tests.faults.driver")):
        """Start the study where it was left; return its driver."""
        given = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": str(self.faults),
            "TRAINED": str(self.log),
            **(env or {}),
        }
        words = [*command, str(self.folder), runner, *more]
        return subprocess.Popen(words, env=given, stdout=-1, stderr=-1, text=True)

    def begun(self):
        """Return the packs that were begun: process and keys of each."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, packs, driver):
        """Wait until so many packs were begun in all, or the driver has ended."""
        until(lambda: len(self.begun()) >= packs or driver.poll() is not None)

    def committed(self):
        """Return the keys of all trials whose storing was done when their driver noted it."""
        log = self.folder / "stored.log"
        # A killed driver may have left half a line.
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return {key for line in lines if line.endswith("]") for key in json.loads(line)}

    def stored(self):
        """Return the keys of all trials that are stored now."""
        try:
            with Store.open(self.folder, create=False) as store:
                return {row.key for row in store.list() if row.outcome != "failed"}
        except StoreError as error:  # killed before it had made its tables
            assert "is empty" in str(error) or "no results.sqlite" in str(error)
            return set()

    def check(self):
        """Count a fault: nothing that was stored is lost, and nothing stored is damaged."""
        self.faults += 1
        stored = self.stored()
        lost = self.committed() - stored
        ledger.note_fault(self.kind, lost=len(lost))
        assert not lost
        if stored:
            with Store.open(self.folder, create=False) as store:
                assert store.verify() == []
        if (self.folder / "findings.json").exists():
            self.finish()

    def finish(self):
        """Run the study to its end and begin the next."""
        self.end()
        self._begin()

    def end(self):
        """Run the study to its end: its findings must be those of the unhurt one."""
        driver = self.start("inline")
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, err
        found = json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))
        changed = sum(one != other for one, other in zip(found, self._findings, strict=True))
        ledger.note_study(self.kind, findings=len(found), changed=changed)
        assert changed == 0
        self.studies += 1


def until(happened):
    """Wait until something has happened, however slow the machine is."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)

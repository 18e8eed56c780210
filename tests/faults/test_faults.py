"""What kills, fills disks, hangs and flips bits: after each, what was finished is there.

``make faults`` goes the long way, ``BYHEART_FAULTS`` faults of each kind; their moments are drawn.
Each study that was hurt is then run to its end, and its findings must be those of one that was not.
"""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from tests.studies.test_session_killed import Study, finish
from tests.studies.tiny import run, without_timings

from byheart.errors import StoreError
from byheart.runners import InlineRunner
from byheart.store import Store

pytestmark = pytest.mark.faults

FAULTS = int(os.environ.get("BYHEART_FAULTS") or 3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that nothing happened to: its store, byte for byte, and its findings."""
    folder = tmp_path_factory.mktemp("whole")
    findings = without_timings(run(folder, InlineRunner(1)).findings)
    return (folder / "results.sqlite").read_bytes(), findings


class Hurt:
    """A study that is hurt again and again, and what it had stored before the last time."""

    def __init__(self, folder, findings, seed):
        self.draw = random.Random(seed)
        self._root, self._findings = folder, findings
        self.faults = self.finished = 0
        self._begin()

    def _begin(self):
        folder = self._root / str(self.finished)
        folder.mkdir()
        self.study, self._stored = Study(folder), set()

    def check(self):
        """Count a fault; nothing that was stored is lost, and nothing stored is damaged."""
        self.faults += 1
        if not (self.study.folder / "results.sqlite").exists():
            assert not self._stored
            return
        try:
            stored = self.study.stored()
        except StoreError as error:  # killed before it had made its tables
            assert "is empty" in str(error) and not self._stored
            return
        assert stored >= self._stored
        self._stored = stored
        with Store.open(self.study.folder, create=False) as store:
            assert store.verify() == []
        if len(stored) == len(self.study.trials):
            self.end()
            self._begin()

    def end(self):
        """Run the study to its end and compare its findings with those of the unhurt one."""
        finish(self.study, "inline", 0)
        found = (self.study.folder / "findings.json").read_text(encoding="utf-8")
        assert found == self._findings
        self.finished += 1

    def report(self, kind):
        print(json.dumps({"fault": kind, "times": self.faults, "studies": self.finished}))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_drivers_that_are_killed_at_any_moment(tmp_path, finished, number):
    hurt = Hurt(tmp_path, finished[1], seed=int(number))
    while hurt.faults < FAULTS:
        before = len(hurt.study.begun())
        driver = hurt.study.start(hurt.draw.choice(["inline", "processes"]), hurt.faults)
        # Half of them while python, torch and the store are opened, half while packs are trained.
        if hurt.draw.random() < 0.5:
            time.sleep(hurt.draw.uniform(0.0, 5.0))
        else:
            hurt.study.wait_for(before + hurt.draw.randint(1, 6), driver)
        driver.send_signal(number)
        driver.communicate(timeout=120)
        hurt.check()
    hurt.end()
    hurt.report(f"driver, {number.name}")


def test_workers_that_are_killed_at_any_moment(tmp_path, finished):
    hurt = Hurt(tmp_path, finished[1], seed=1)
    while hurt.faults < FAULTS:
        driver = hurt.study.start("processes", hurt.faults)
        while driver.poll() is None and hurt.faults < FAULTS:
            seen = len(hurt.study.begun())
            hurt.study.wait_for(seen + 1, driver)
            pid = hurt.draw.choice([line["pid"] for line in hurt.study.begun()[-2:]])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                hurt.faults += 1
        driver.communicate(timeout=300)
        hurt.faults -= 1
        hurt.check()
    hurt.end()
    hurt.report("worker, SIGKILL")


def test_workers_that_hang_hold_their_pack_and_nothing_else(tmp_path, finished):
    hurt = Hurt(tmp_path, finished[1], seed=2)
    while hurt.faults < FAULTS:
        driver = hurt.study.start("processes", hurt.faults)
        seen = len(hurt.study.begun())
        hurt.study.wait_for(seen + 1, driver)
        pid = hurt.study.begun()[-1]["pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        # The others go on for a while; Ctrl-C ends the study, the stopped worker included.
        time.sleep(hurt.draw.uniform(0.5, 3.0))
        driver.send_signal(signal.SIGINT)
        driver.communicate(timeout=120)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        hurt.check()
    hurt.end()
    hurt.report("worker, hangs")


LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
runpy.run_module("tests.studies.tiny", run_name="__main__")
"""


def test_disks_that_fill_up_at_any_size(tmp_path, finished):
    """A file may not grow beyond a size that is drawn: every write after it fails."""
    hurt = Hurt(tmp_path, finished[1], seed=3)
    largest = len(finished[0])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    while hurt.faults < FAULTS:
        size = hurt.draw.randrange(resource.getpagesize(), largest)
        words = [sys.executable, "-c", LIMITED, str(size), str(hurt.study.folder), "inline"]
        subprocess.run(words, env=env, capture_output=True, timeout=300)
        hurt.check()
    hurt.end()
    hurt.report("disk full")


def test_stores_with_a_flipped_or_a_missing_end(tmp_path, finished):
    content, findings = finished
    draw, found = random.Random(4), 0
    for fault in range(FAULTS):
        folder = tmp_path / str(fault)
        folder.mkdir()
        hurt = bytearray(content)
        if draw.random() < 0.2:
            del hurt[draw.randrange(4096, len(hurt)) :]
        else:
            hurt[draw.randrange(len(hurt))] ^= 1 << draw.randrange(8)
        (folder / "results.sqlite").write_bytes(hurt)
        folder, noticed = mended(folder)
        found += noticed
        assert without_timings(run(folder, InlineRunner(1)).findings) == findings
    print(json.dumps({"fault": "store, bits and ends", "times": FAULTS, "noticed": found}))


def mended(folder):
    """Do with a store what `verify` says; return the folder to go on in, and if it said anything.

    Forget what is damaged; where the file itself is, take what is whole to another folder.
    """
    saved = folder / "saved"
    try:
        with Store.open(folder) as store:
            problems = store.verify()
            if all(problem.key for problem in problems):
                store.forget(problem.key for problem in problems)
                assert store.verify() == []
                return folder, bool(problems)
        with Store.open(saved) as store:
            store.merge([folder])
            assert store.verify() == []
    except StoreError:  # it cannot be opened at all: it is moved away
        return folder / "anew", True
    return saved, True

"""kill -9 at any moment, then the same command: nothing twice, and the same bytes in the end."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from tests.studies.tiny import CLAIMS, run, tiny_dataset, tiny_setting, without_timings

from byheart.runners.base import InlineRunner
from byheart.store import Store
from byheart.studies.registry import studies_of
from byheart.studies.rounds import plan

pytestmark = pytest.mark.slow


class Study:
    """A study in a folder, driven by processes of its own that may be killed."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "trained.log"
        self.log.touch()
        self.trials = plan(studies_of(CLAIMS), tiny_setting(tiny_dataset()))
        self._draw = random.Random(0)

    def start(self, runner, hash_seed):
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": str(hash_seed),
            "TRAINED": str(self.log),
        }
        command = [sys.executable, "-m", "tests.studies.tiny", str(self.folder), runner]
        return subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True)

    def begun(self):
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, packs, driver):
        """Wait until so many packs were begun, and then less or more than one pack takes."""
        while len(self.begun()) < packs and driver.poll() is None:
            time.sleep(0.01)
        time.sleep(self._draw.uniform(0.0, 0.2))

    def stored(self):
        with contextlib.closing(Store.open(self.folder, create=False)) as store:
            missing = {trial.key for trial in store.missing(self.trials)}
        return {trial.key for trial in self.trials} - missing


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return without_timings(run(tmp_path_factory.mktemp("whole"), InlineRunner(1)).findings)


def finish(study, runner, hash_seed):
    """Run to the end; return the keys that were begun on the way."""
    before = len(study.begun())
    driver = study.start(runner, hash_seed)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    keys = {key for line in study.begun()[before:] for key in line["keys"]}
    assert int(out) == len(keys)
    return keys


@pytest.mark.parametrize(("runner", "kills"), [("inline", (2, 2)), ("processes", (3,))])
def test_a_killed_driver_run_again_ends_with_the_same_bytes(tmp_path, uninterrupted, runner, kills):
    study = Study(tmp_path)
    stored = set()
    for attempt, packs in enumerate(kills):
        before = len(study.begun())
        driver = study.start(runner, attempt)
        study.wait_for(before + packs, driver)
        driver.kill()
        driver.communicate(timeout=60)
        again = {key for line in study.begun()[before:] for key in line["keys"]}
        assert not again & stored, "what was finished is trained again"
        assert study.stored() >= stored
        stored = study.stored()
    assert 0 < len(stored) < len(study.trials)
    assert not finish(study, runner, 7) & stored
    assert (tmp_path / "findings.json").read_text(encoding="utf-8") == uninterrupted


def test_workers_killed_on_the_way_change_nothing(tmp_path, uninterrupted):
    study = Study(tmp_path)
    driver = study.start("processes", 1)
    killed = []
    for packs in (1, 3):
        study.wait_for(packs, driver)
        # A pack that loses two workers is recorded as failed: the second kill is for another.
        running = {line["pid"]: line["keys"] for line in study.begun()}
        pid, keys = next((p, k) for p, k in reversed(running.items()) if k not in killed)
        killed.append(keys)
        # It may have ended by itself, just now.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    assert study.stored() == {trial.key for trial in study.trials}
    assert (tmp_path / "findings.json").read_text(encoding="utf-8") == uninterrupted


def test_of_two_studies_on_one_store_one_trains_and_the_other_says_so(tmp_path, uninterrupted):
    study = Study(tmp_path)
    drivers = [study.start(runner, 0) for runner in ("inline", "processes")]
    said = [driver.communicate(timeout=120)[1] for driver in drivers]
    (refused,) = [err for driver, err in zip(drivers, said, strict=True) if driver.returncode]
    assert "another study is writing to" in refused
    begun = [key for line in study.begun() for key in line["keys"]]
    assert len(begun) == len(set(begun)) == len(study.stored()) > 0
    assert (tmp_path / "findings.json").read_text(encoding="utf-8") == uninterrupted
    assert finish(study, "inline", 1) == set()

"""Workers without memory, and workers that stand still."""

import contextlib
import os
import signal

import pytest
from tests.faults.hurt import PATIENCE, Hurt
from tests.faults.ledger import FAULTS

pytestmark = pytest.mark.faults


def test_workers_out_of_memory_fail_their_pack_and_the_next_run_trains_it(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], "worker, out of memory")
    while hurt.faults < FAULTS:
        folder = hurt.folder
        driver = hurt.start("processes", env={"TRAIN": "tests.faults.trainers:starved"})
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 1, err
        starved = len((folder / "starved.log").read_text().splitlines())
        (folder / "findings.json").unlink()
        for _ in range(min(starved, FAULTS - hurt.faults)):
            hurt.check()
        hurt.finish()


def test_workers_that_stand_still_are_ended_and_their_pack_is_trained_by_another(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], "worker, hangs")
    while hurt.faults < FAULTS:
        driver = hurt.start("processes", env={"HANG_AFTER": "5"})
        hurt.wait_for(len(hurt.begun()) + hurt.draw.randint(1, 6), driver)
        pid = hurt.begun()[-1]["pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, err
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        hurt.check()

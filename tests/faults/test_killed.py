"""Drivers and workers that are killed at any moment, again and again."""

import contextlib
import os
import signal
import time

import pytest
from tests.faults.hurt import PATIENCE, Hurt
from tests.faults.ledger import FAULTS

pytestmark = pytest.mark.faults

KILLS = min(20, 3 * FAULTS)


def struck(hurt, runner, number):
    """Start a study, send its driver a signal at a drawn moment, and wait until it is gone."""
    before = len(hurt.begun())
    driver = hurt.start(runner)
    # Half of them while python, torch and the store are opened, half while packs are trained.
    if hurt.draw.random() < 0.5:
        time.sleep(hurt.draw.uniform(0.0, 5.0))
    else:
        hurt.wait_for(before + hurt.draw.randint(1, 6), driver)
        time.sleep(hurt.draw.uniform(0.0, 0.2))
    driver.send_signal(number)
    driver.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_drivers_that_are_killed_at_any_moment(tmp_path, unhurt, number):
    hurt = Hurt(tmp_path, unhurt[1], f"driver, {number.name}")
    while hurt.faults < FAULTS:
        struck(hurt, hurt.draw.choice(["inline", "processes"]), number)
        hurt.check()
    hurt.end()


def test_a_study_whose_driver_was_killed_twenty_times_finds_the_same(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], f"one study, driver SIGKILL {KILLS} times")
    while hurt.faults < KILLS:
        before = len(hurt.begun())
        driver = hurt.start(hurt.draw.choice(["inline", "processes"]))
        # Each time before the second pack that it begins has ended: 20 times is not the end yet.
        hurt.wait_for(before + hurt.draw.randint(0, 2), driver)
        time.sleep(hurt.draw.uniform(0.0, 0.2))
        driver.kill()
        driver.communicate(timeout=PATIENCE)
        hurt.check()
        assert hurt.studies == 0, "it came to its end before it was killed often enough"
    hurt.end()


def test_workers_that_are_killed_at_any_moment(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], "worker, SIGKILL")
    while hurt.faults < FAULTS:
        driver, killed = hurt.start("processes"), 0
        while driver.poll() is None and hurt.faults + killed < FAULTS:
            hurt.wait_for(len(hurt.begun()) + 1, driver)
            pid = hurt.draw.choice([line["pid"] for line in hurt.begun()[-2:]])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        driver.communicate(timeout=PATIENCE)
        for _ in range(killed):
            hurt.check()
    hurt.end()

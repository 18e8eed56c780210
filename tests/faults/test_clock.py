"""A clock on the wall that jumps by a day, back and forwards, in the driver and in all workers."""

import os
import sys

import pytest
from tests.faults.hurt import PATIENCE, Hurt
from tests.faults.ledger import FAULTS

pytestmark = pytest.mark.faults

SITE = """
import datetime, os, random, time

draw, true, true_ns = random.Random(os.getpid()), time.time, time.time_ns

def jump():
    return draw.choice((-86400, 0, 86400))

time.time = lambda: true() + jump()
time.time_ns = lambda: true_ns() + jump() * 10**9

class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=jump())

datetime.datetime = Jumping
"""


def test_a_clock_that_jumps_by_a_day_at_every_look_changes_nothing(tmp_path, unhurt):
    hurt = Hurt(tmp_path / "studies", unhurt[1], "clock jumps by a day at every look")
    (tmp_path / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join((str(tmp_path), *sys.path))
    while hurt.faults < max(1, FAULTS // 10):
        driver = hurt.start("processes", env={"PYTHONPATH": path, "HANG_AFTER": "60"})
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, err
        hurt.check()

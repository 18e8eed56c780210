"""A row without a peer: the time and the memory of a whole process tree."""

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import sentence
from benchmarks.duel import Agreement, Alone, Measured
from benchmarks.rows.quick_study import proportional_bytes, tree, watched

CHILD = (
    "import subprocess, sys; print('x', flush=True);"
    "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
)
linux = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc"
)


def alone(done: bool) -> Alone:
    measured = Measured(100.0, 2**30, Agreement(done, "26 of 27 claims judged"))
    return Alone("quick study", "a study", lambda: measured, 120, 1.5 * 2**30)


def test_a_row_without_a_peer_has_no_ratio() -> None:
    row = alone(done=True).run(pairs=5)
    assert (row["peer"], row["ratio"], row["ours_seconds"], row["pairs"]) == (None, None, 100.0, 1)
    assert (row["peak_bytes"], row["wanted_seconds"]) == (2**30, 120)
    assert sentence(row).startswith("quick study: 100 s, wanted 120; 1.00 GiB, wanted 1.5; 26 of")


def test_half_the_work_is_no_row() -> None:
    with pytest.raises(SystemExit, match="quick study: 26 of 27 claims judged"):
        alone(done=False).run(pairs=5)


@linux
def test_the_tree_holds_the_children_of_children() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found: list[int] = []
        while len(found) < 2:
            found = tree(process.pid)
        assert found[0] == process.pid
        assert proportional_bytes(process.pid) > 2**20
        for one in reversed(found):
            subprocess.run(["kill", str(one)], check=False)


@linux
def test_a_command_is_timed_and_weighed() -> None:
    program = "import time; held = bytearray(100 * 2**20); time.sleep(0.6)"
    seconds, peak = watched([sys.executable, "-c", program])
    assert seconds > 0.6
    assert peak > 100 * 2**20


@linux
def test_a_command_that_fails_is_said_to() -> None:
    with pytest.raises(SystemExit, match="ended with 3: no"):
        watched([sys.executable, "-c", "import sys; print('no', file=sys.stderr); sys.exit(3)"])


def test_a_process_that_has_ended_weighs_nothing() -> None:
    assert proportional_bytes(2**30) == 0

"""Workers may fail, die or be killed: no pack is lost, no process is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.runners import trainers
from tests.runners.examples import Hears, Listener, a_pack

from byheart.errors import InputError
from byheart.runners import processes as module
from byheart.runners.base import InlineRunner, Progress
from byheart.runners.processes import ProcessesRunner

TRAIN = "tests.runners.trainers:train"


def run(packs, dataset, *, workers=2, progress=None, train=TRAIN, hang_after=600.0):
    runner = ProcessesRunner(workers=workers, train=train, hang_after=hang_after)
    return list(runner.run(packs, dataset, device="cpu", progress=progress or Progress()))


def test_workers_give_what_the_inline_runner_gives(dataset, log):
    packs = [a_pack(seed) for seed in range(5)]
    inline = InlineRunner(threads=1, train=TRAIN)
    expected = {r.pack: r for r in inline.run(packs, dataset, device="cpu", progress=Listener())}
    results = run(packs, dataset)
    assert {result.pack for result in results} == set(packs)
    for result in results:
        assert result.error is None
        for ours, theirs in zip(result.records, expected[result.pack].records, strict=True):
            assert (ours.trial, ours.outcome, ours.threads) == (theirs.trial, "budget", 1)
            np.testing.assert_array_equal(
                ours.arrays["accuracy.train"], theirs.arrays["accuracy.train"]
            )
    # Trained elsewhere, by no more processes than were asked for.
    pids = {result.records[0].seconds for result in results}
    assert os.getpid() not in pids
    assert len(pids) <= 2


def test_the_longest_pack_goes_first(dataset, log):
    run([a_pack(0), a_pack(1, size=9), a_pack(2, epochs=9)], dataset, workers=1)
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["100", "200", "0"]


def test_nothing_to_train_starts_no_worker(dataset, monkeypatch):
    monkeypatch.setattr(
        module._Pool, "_start_worker", lambda self: pytest.fail("a worker was started")
    )
    assert run([], dataset) == []


def test_failures_cost_their_own_pack_alone_and_a_worker_that_dies_once_costs_nothing(dataset, log):
    fine, raises = a_pack(0), a_pack(1, trainers.RAISES)
    once, deadly = a_pack(2, trainers.KILLED_ONCE), a_pack(3, trainers.KILLED)
    packs, listener = [fine, raises, once, deadly, a_pack(4)], Listener()
    results = {result.pack: result for result in run(packs, dataset, progress=listener)}
    assert set(results) == set(packs)
    assert results[raises].error.startswith("RuntimeError: the loss went away")
    assert results[deadly].error == (
        "its worker was lost 2 times: killed by SIGKILL, perhaps out of memory"
    )
    assert [record.outcome for record in results[deadly].records] == ["failed", "failed"]
    assert [results[pack].error for pack in (fine, once, a_pack(4))] == [None, None, None]
    assert trainers.noted(trainers.KILLED) == trainers.noted(trainers.KILLED_ONCE) == 2
    assert sum(call[0] == "finished" for call in listener.calls) == len(packs)


@pytest.mark.slow
def test_a_pack_that_hangs_is_tried_once_more_and_one_that_computes_is_left_alone(dataset, log):
    once, always = a_pack(1, trainers.HANGS_ONCE), a_pack(2, trainers.HANGS)
    busy, stopped = a_pack(3, trainers.BUSY, epochs=1), a_pack(4, trainers.STOPPED, epochs=1)
    packs = [once, always, busy, stopped]
    results = run(packs, dataset, workers=4, hang_after=2.0, progress=Stops(trainers.STOPPED))
    errors = {result.pack: result.error for result in results}
    assert errors.pop(always) == (
        "its worker was lost 2 times: it hung, no epoch and no processor time in 2 s"
    )
    assert errors == dict.fromkeys([once, busy, stopped])
    for hung in (trainers.HANGS, trainers.HANGS_ONCE, trainers.STOPPED):
        assert trainers.noted(hung) == 2
    assert trainers.noted(trainers.BUSY) == 1
    assert not any(alive(worker) for worker in trainers.noted_pids())


class Stops(Progress):
    """Stops the process of a pack, as a debugger or a frozen machine would, once it has begun."""

    def __init__(self, hidden):
        self._hidden, self._done = hidden, False

    def epoch(self, pack, done, total):
        if not self._done and pack.trials[0].algorithm.network.hidden[0] == self._hidden:
            self._done = True
            (line,) = [
                line
                for line in Path(os.environ["TRAINED"]).read_text(encoding="utf-8").splitlines()
                if line.split()[0] == str(self._hidden)
            ]
            os.kill(int(line.split()[2]), signal.SIGSTOP)


def test_workers_that_cannot_start_are_one_clear_line(dataset):
    with pytest.raises(InputError, match=r"no worker process could start \(ModuleNotFoundError"):
        run([a_pack(0)], dataset, train="no.such.module:train")


def test_epochs_are_reported_but_not_each(dataset, log):
    listener = Hears()
    run([a_pack(0, trainers.SLOW, epochs=100_000)], dataset, progress=listener)
    epochs = [call[1] for call in listener.calls if call[0] == "epoch"]
    assert epochs[0] == 1
    assert epochs == sorted(epochs)
    assert trainers.ENOUGH <= len(epochs) < epochs[-1]


def test_the_data_set_is_handed_over_once_and_removed(dataset, log, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner = ProcessesRunner(workers=1, train=TRAIN)
    results = runner.run([a_pack(0), a_pack(1)], dataset, device="cpu", progress=Progress())
    next(results)
    (folder,) = tmp_path.glob("byheart-*")
    assert {path.name for path in folder.iterdir()} >= {"x.npy", "y.npy"}
    results.close()
    assert list(tmp_path.glob("byheart-*")) == []


def test_a_temporary_folder_without_room_is_named(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(InputError, match=r"temporary folder .*set TMPDIR"):
        run([a_pack(0)], dataset)


def test_a_consumer_that_stops_leaves_no_worker(dataset, log):
    runner = ProcessesRunner(workers=2, train=TRAIN)
    packs = [a_pack(0), a_pack(1, trainers.HANGS)]
    results = runner.run(packs, dataset, device="cpu", progress=Progress())
    next(results)
    until(lambda: trainers.noted(trainers.HANGS) == 1)
    results.close()
    assert not any(alive(worker) for worker in trainers.noted_pids())


SCRIPT = """
import sys, torch
from byheart.data.dataset import Dataset
from byheart.runners.base import Progress
from byheart.runners.processes import ProcessesRunner
from tests.runners import trainers
from tests.runners.examples import a_pack

if __name__ == "__main__":
    dataset = Dataset.from_arrays("tiny", torch.rand(20, 2), torch.arange(20) % 2)
    packs = [a_pack(seed, trainers.HANGS) for seed in range(2)]
    runner = ProcessesRunner(workers=2, train="tests.runners.trainers:train")
    try:
        list(runner.run(packs, dataset, device="cpu", progress=Progress()))
    except KeyboardInterrupt:
        print("interrupted")
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_to_the_driver_ends_all_workers_and_clears_up(tmp_path, log, number, code):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    driver = subprocess.Popen(
        [sys.executable, script], env=env, stdout=-1, stderr=-1, text=True, start_new_session=True
    )
    until(lambda: trainers.noted(trainers.HANGS) == 2)
    workers = trainers.noted_pids()
    assert len(workers) == 2 and driver.pid not in workers
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)  # as a terminal does: to every process of the group
    else:
        driver.send_signal(number)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == code
    assert out == ("interrupted\n" if number == signal.SIGINT else "")
    assert "Traceback" not in err
    until(lambda: not any(alive(worker) for worker in workers))
    until(lambda: list(tmp_path.glob("byheart-*")) == [])


def until(happened):
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
        # Nobody may have asked yet how it ended: then it is listed, but it no longer runs.
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

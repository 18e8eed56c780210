"""Predicted times: every kind of work is timed, and sums follow the operations."""

import time

import pytest
import torch
from tests.studies.tiny import tiny_dataset, tiny_setting

from byheart.studies.registry import studies_of
from byheart.studies.rounds import plan
from byheart.training.cost import EPOCHS_SPENT, KINDS, flops_by_kind
from byheart.training.packs import make_packs
from byheart.training.prediction import (
    Speeds,
    measure_speeds,
    speeds_at,
    timed,
    training_key,
)

DATASET = tiny_dataset()
CLAIMS = ["easy-examples", "csr-noise", "time-size", "sharpness-noise", "gini-labels"]
TRIALS = plan(studies_of(CLAIMS), tiny_setting(DATASET))
PACKS = make_packs(TRIALS, shape=(9,), classes=4)


def test_every_kind_of_work_is_timed_with_one_thread() -> None:
    threads = torch.get_num_threads()
    speeds = measure_speeds(PACKS, DATASET)
    assert torch.get_num_threads() == threads
    assert set(speeds.training) == {training_key(trial) for trial in TRIALS}
    assert set(speeds.probes) == set(KINDS) - {"training"}
    assert all(pace > 0 for pace in speeds.training.values())
    assert all(pace >= 0 for pace in speeds.probes.values())
    seconds = speeds.of(TRIALS, (9,), 4)
    assert 0 < seconds.expected <= seconds.at_most


def test_time_is_operations_times_speed() -> None:
    trial = next(t for t in TRIALS if t.algorithm.stop == "converged" and not t.probes)
    seconds = Speeds({training_key(trial): 1e-6}, {}).of([trial, trial], (9,), 4)
    counted = 2 * flops_by_kind(trial, (9,), 4)["training"]
    assert seconds.at_most == pytest.approx(1e-6 * counted)
    assert seconds.expected == pytest.approx(EPOCHS_SPENT["converged"][0] * 1e-6 * counted)


def test_a_device_of_one_speed_does_all_work_at_it() -> None:
    counted = sum(sum(flops_by_kind(trial, (9,), 4).values()) for trial in TRIALS)
    assert speeds_at(PACKS, 1e9).of(TRIALS, (9,), 4).at_most == pytest.approx(counted / 1e9)


def test_time_in_which_this_thread_does_not_run_is_not_counted() -> None:
    result, seconds = timed(lambda: time.sleep(0.2) or "done", "cpu")
    assert result == "done"
    assert seconds < 0.1

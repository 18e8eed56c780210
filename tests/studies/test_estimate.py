"""What a study would cost: trials, operations and time, by shapes and workers."""

import pytest
from tests.studies.tiny import tiny_dataset, tiny_setting

from byheart.errors import InputError
from byheart.record import Record
from byheart.runners.base import InlineRunner
from byheart.runners.processes import ProcessesRunner
from byheart.studies.estimate import (
    ACCELERATORS,
    UTILISATION,
    estimate,
    find_accelerator,
    makespan,
)
from byheart.studies.registry import studies_of
from byheart.studies.rounds import at_most, plan
from byheart.training import prediction
from byheart.training.cost import flops

SEVERAL = studies_of(["capacity-data", "easy-examples", "csr-noise", "time-size"])
BINOMIAL = studies_of(["randx-binomial"])
DATASET = tiny_dataset()
SETTING = tiny_setting(DATASET)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine do 10^9 operations a second."""
    monkeypatch.setattr(
        prediction, "measure_speeds", lambda packs, *_: prediction.speeds_at(packs, 1e9)
    )


def test_shares_add_up_to_the_plan(measured: None) -> None:
    cost = estimate(SEVERAL, SETTING, DATASET, {}, InlineRunner(1))
    trials = at_most(SEVERAL, SETTING)
    assert cost.trials == len(trials) == sum(share.trials for share in cost.shares)
    assert cost.packs == sum(share.packs for share in cost.shares)
    assert cost.flops_at_most == pytest.approx(sum(flops(trial, (9,), 4) for trial in trials))
    assert 0.1 * cost.flops_at_most < cost.flops < cost.flops_at_most
    assert cost.stored == 0
    seconds = [share.seconds for share in cost.shares]
    assert seconds == sorted(seconds, reverse=True)
    assert cost.seconds.expected == pytest.approx(sum(seconds))
    assert cost.seconds.at_most == pytest.approx(cost.flops_at_most / 1e9)
    assert cost.seconds.expected < cost.seconds.at_most


def test_a_gpu_that_is_absent_works_at_one_speed() -> None:
    cost = estimate(SEVERAL, SETTING, DATASET, {}, ProcessesRunner(2), device="cuda", speed=1e9)
    assert cost.workers == 1
    assert cost.seconds.at_most == pytest.approx(cost.flops_at_most / 1e9)


def test_stored_trials_cost_nothing_and_failed_ones_are_counted_again(measured: None) -> None:
    first, *others = plan(BINOMIAL, SETTING)
    known = {trial.key: Record(trial, "budget", epochs=1) for trial in (first, *others)}
    cost = estimate(BINOMIAL, SETTING, DATASET, known, InlineRunner(1))
    assert (cost.packs, cost.shares, cost.seconds) == (0, [], prediction.Seconds(0.0, 0.0))
    assert cost.stored == cost.trials > 0
    known[first.key] = Record(first, "failed", epochs=0)
    cost = estimate(BINOMIAL, SETTING, DATASET, known, InlineRunner(1))
    assert (cost.stored, cost.packs) == (len(others), 1)


def test_packs_go_to_the_first_free_worker_the_longest_first() -> None:
    assert makespan([1.0, 3.0, 5.0, 3.0], 2) == 6.0
    assert makespan([5.0, 3.0], 1) == 8.0
    assert makespan([], 4) == 0.0


@pytest.mark.parametrize(
    ("text", "name"),
    [(text, "RTX 4090") for text in ("RTX 4090", "rtx4090", "rtx-4090", "RTX_4090")]
    + [(accelerator.name, accelerator.name) for accelerator in ACCELERATORS],
)
def test_a_gpu_is_found_however_its_name_is_written(text: str, name: str) -> None:
    assert find_accelerator(text).name == name


def test_a_number_is_the_speed_of_a_gpu() -> None:
    accelerator = find_accelerator("60")
    assert accelerator.speed == pytest.approx(60e12 * UTILISATION)
    assert accelerator.gib is None


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "A1000000", ""])
def test_another_text_is_no_gpu(text: str) -> None:
    with pytest.raises(InputError, match=r"GPU|--gpu"):
        find_accelerator(text)

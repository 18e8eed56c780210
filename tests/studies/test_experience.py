"""What is known of how long trials take to stop."""

from collections.abc import Sequence

import pytest
from tests.studies.tiny import tiny_dataset, tiny_setting

from byheart.record import Outcome, Record
from byheart.studies.base import Setting
from byheart.studies.experience import Experience, Spent, condition, experience_of, spent_by
from byheart.studies.registry import STUDIES
from byheart.studies.request import make_request
from byheart.studies.session import plan
from byheart.trial import Trial


@pytest.fixture(scope="module")
def setting() -> Setting:
    return tiny_setting(tiny_dataset())


@pytest.fixture(scope="module")
def stopping(setting: Setting) -> list[Trial]:
    return [t for t in plan(STUDIES, setting) if t.algorithm.stop != "budget"]


def records(trials: Sequence[Trial], outcome: Outcome, epochs: int) -> list[Record]:
    return [Record(trial, outcome, epochs=epochs + i) for i, trial in enumerate(trials)]


def test_seeds_share_a_condition_and_nothing_else_does(stopping: list[Trial]) -> None:
    one = stopping[0]
    other_seed = one.model_copy(
        update={"seed": 99, "data": one.data.model_copy(update={"seed": 99, "fingerprint": "x"})}
    )
    assert condition(one) == condition(other_seed)
    changes = (
        {"data": one.data.model_copy(update={"train": one.data.train + 1})},
        {"data": one.data.model_copy(update={"labels": 0.123})},
        {"data": one.data.model_copy(update={"inputs": 0.123})},
        {"algorithm": one.algorithm.model_copy(update={"epochs": one.algorithm.epochs + 1})},
        {"algorithm": one.algorithm.model_copy(update={"learning_rate": 0.0123})},
        {"algorithm": one.algorithm.model_copy(update={"stop": "loss", "stop_loss": 0.5})},
    )
    assert all(condition(one.model_copy(update=change)) != condition(one) for change in changes)


def test_records_of_a_condition_are_summed_up(stopping: list[Trial]) -> None:
    one = stopping[0]
    seeds = [one.model_copy(update={"seed": i}) for i in range(4)]
    own = [*records(seeds[:3], "converged", 10), *records(seeds[3:], "budget", 30)]
    failed = Record(one.model_copy(update={"seed": 9}), "failed", epochs=0)
    assert spent_by([*own, failed]) == {condition(one): Spent((10 + 11 + 12 + 30) / 4, 30, 0.75, 4)}


def test_a_trial_that_spends_its_budget_needs_no_experience(setting: Setting) -> None:
    whole = next(t for t in plan(STUDIES, setting) if t.algorithm.stop == "budget")
    own = Experience().of(whole)
    assert own is not None
    assert own.epochs == own.longest == whole.algorithm.epochs
    assert spent_by([Record(whole, "budget", epochs=3)]) == {}


def test_what_is_stored_counts_more_than_what_was_recorded_elsewhere(
    stopping: list[Trial],
) -> None:
    one = stopping[0]
    elsewhere = Experience({condition(one): Spent(5, 6, 1.0, 3)}, {"search, budget": 0.5})
    both = elsewhere.with_records(records([one], "converged", 2))
    assert both.of(one) == Spent(2, 2, 1.0, 1)
    assert both.share("search", "budget") == 0.5
    assert both.share("search", "converged") == 1.0
    assert Experience().of(one) is None
    assert Experience().expected(one) is None


@pytest.mark.parametrize("preset", ["quick", "desk"])
def test_the_presets_are_known_on_their_own_data(preset: str) -> None:
    """Every trial of the first round, without the data that only the desk's needs."""
    known = experience_of(preset)
    setting = make_request(preset="quick").setting
    if preset == "desk":
        from byheart.studies.presets import DESK

        setting = Setting(DESK, setting.data, seeds=2)
    unknown = [t for t in plan(STUDIES, setting) if known.of(t) is None]
    assert unknown == []
    assert all(0 < share < 10 for share in known.shares.values())


def test_an_unknown_preset_has_no_experience() -> None:
    assert experience_of("tiny") == Experience()

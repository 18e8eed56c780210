"""A study that plans in rounds: bounded beforehand, and the same however it is interrupted."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.runners.examples import Listener
from tests.studies.test_session import Trainer
from tests.studies.tiny import tiny_dataset, tiny_setting, without_timings

from byheart.data import corrupt
from byheart.data.dataset import split_indices
from byheart.record import Record
from byheart.report.study import redraw
from byheart.runners.base import InlineRunner
from byheart.store import Store
from byheart.studies.base import NOTHING_KNOWN, AdaptiveStudy, Records
from byheart.studies.capacity import CapacityData, sizes
from byheart.studies.conditions import KINDS
from byheart.studies.registry import STUDIES, studies_of
from byheart.studies.rounds import at_most, plan, stored_records
from byheart.studies.session import run_session
from byheart.training.cost import flops

CLAIM = ("capacity-data",)
STUDY = CapacityData()


def run(folder, runner, **options):
    dataset = tiny_dataset()
    with Store.open(folder) as store:
        return run_session(
            studies_of(CLAIM), CLAIM, tiny_setting(dataset), dataset, store, runner, **options
        )


@pytest.fixture(scope="module")
def setting():
    return tiny_setting(tiny_dataset())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, trainer = tmp_path_factory.mktemp("finished"), Trainer()
    return folder, run(folder, InlineRunner(1, trainer)), trainer.packs


def fitted(trials, largest):
    """Return records in which a kind of data is fitted up to its largest size."""

    def outcome(trial):
        kind = next(
            k for k in KINDS if (k.inputs, k.labels) == (trial.data.inputs, trial.data.labels)
        )
        return "converged" if trial.data.train <= largest[kind.name] else "budget"

    return {trial.key: Record(trial, outcome(trial), epochs=1) for trial in trials}


def all_rounds(setting, largest):
    records = {}
    while added := [t for t in plan([STUDY], setting, records) if t.key not in records]:
        records |= fitted(added, largest)
    return records


def test_the_capacity_of_each_kind_is_found_on_the_grid(setting):
    grid = sizes(setting)
    records = all_rounds(setting, {"real": grid[5], "randX": grid[3], "randY": grid[0]})
    [evidence] = STUDY.judge(Records(records), setting).values()
    expected = [np.log2(grid[5] / grid[3]), np.log2(grid[5] / grid[0]), np.log2(grid[3] / grid[0])]
    for values, value in zip(evidence.values.values(), expected, strict=True):
        np.testing.assert_allclose(values, value)
    assert (evidence.censored, evidence.undecidable) == (0, "")
    assert len(records) == 3 * 3 * setting.seeds


def test_searches_that_leave_the_grid_stand_at_its_ends_and_are_counted(setting):
    grid = sizes(setting)
    records = all_rounds(setting, {"real": 10**6, "randX": grid[0], "randY": 0})
    [evidence] = STUDY.judge(Records(records), setting).values()
    below = grid[0] ** 2 / grid[1]
    np.testing.assert_allclose(
        [values[0] for values in evidence.values.values()],
        np.log2([grid[-1] / grid[0], grid[-1] / below, grid[0] / below]),
    )
    assert evidence.censored == 2 * setting.seeds
    assert "3 of 9 searches found no size of the grid fitted and 3 all of them" in evidence.note
    assert not evidence.undecidable


def test_two_kinds_beyond_the_same_end_are_not_called_equal(setting):
    records = all_rounds(setting, dict.fromkeys(("real", "randX", "randY"), 10**6))
    [evidence] = STUDY.judge(Records(records), setting).values()
    assert "ended at an end of the grid" in evidence.undecidable


@pytest.mark.parametrize("outcome", ["diverged", "failed"])
def test_a_search_ends_where_a_trial_ended_badly(setting, outcome):
    records = all_rounds(setting, {"real": 40, "randX": 40, "randY": 40})
    first = plan([STUDY], setting)[0]
    records[first.key] = replace(records[first.key], outcome=outcome)
    wanted = plan([STUDY], setting, records)
    seed = [t for t in wanted if (t.data.inputs, t.data.labels, t.seed) == (0, 0, first.seed)]
    assert seed == [first]
    [evidence] = STUDY.judge(Records(records), setting).values()
    assert np.isnan(next(iter(evidence.values.values()))).sum() == 1
    assert getattr(evidence, outcome) == 1


def test_only_what_plans_in_rounds_has_a_bound_of_its_own(setting):
    adaptive = [study for study in STUDIES if isinstance(study, AdaptiveStudy)]
    assert [study.name for study in adaptive] == ["capacity-data"]


@pytest.mark.parametrize("largest", [0, 15, 40, 10**6])
def test_no_outcome_costs_more_than_the_bound(setting, largest):
    def cost(trials):
        return sum(flops(trial, (9,), 4) for trial in trials)

    bound = at_most([STUDY], setting)
    assert max(trial.data.train for trial in bound) == sizes(setting)[-1]
    records = all_rounds(setting, dict.fromkeys(("real", "randX", "randY"), largest))
    trials = [record.trial for record in records.values()]
    assert len(trials) == len(bound)
    assert cost(trials) <= cost(bound)
    known: dict[str, Record] = {}
    for _ in range(setting.preset.capacity.rounds):
        known |= {t.key: records[t.key] for t in plan([STUDY], setting, known)}
        assert cost(at_most([STUDY], setting, known)) <= cost(bound)
    assert {t.key for t in at_most([STUDY], setting, known)} == set(records)


def test_a_study_in_rounds_is_stored_verified_and_drawn_again(finished):
    folder, result, _ = finished
    assert result.trained == len(result.trials) == len(result.records) == 27
    with Store.open(folder, create=False) as store:
        assert store.verify() == []
        assert set(stored_records(studies_of(CLAIM), tiny_setting(tiny_dataset()), store)) == set(
            result.records
        )
        _, findings = redraw(folder, store)
    assert without_timings(findings) == without_timings(result.findings)


def test_run_again_it_trains_nothing(finished):
    folder, first, _ = finished
    trainer = Trainer()
    again = run(folder, InlineRunner(1, trainer))
    assert (trainer.packs, again.trained) == ([], 0)
    assert again.findings == first.findings


def test_interrupted_within_and_between_rounds_it_resumes_with_the_same_packs(finished, tmp_path):
    _, whole, packs = finished
    # Before each pack in turn: the first of a later round among them.
    for stop in range(1, len(packs) + 1):
        stopped, resumed = Trainer(stops_at=stop), Trainer()
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder, InlineRunner(1, stopped))
        result = run(folder, InlineRunner(1, resumed))
        assert stopped.packs[:-1] + resumed.packs == packs
        assert without_timings(result.findings) == without_timings(whole.findings)
        assert [(r.outcome, r.epochs) for r in result.records.values()] == [
            (r.outcome, r.epochs) for r in whole.records.values()
        ]


def test_a_failed_round_is_taken_up_again(finished, tmp_path):
    _, whole, _ = finished
    first = run(tmp_path, InlineRunner(1, Trainer(fails_at=1)))
    assert first.failed
    assert len(first.trials) < len(whole.trials)
    second = run(tmp_path, InlineRunner(1))
    assert without_timings(second.findings) == without_timings(whole.findings)


def test_progress_hears_of_the_rounds_to_come(tmp_path):
    listener = Listener()
    run(tmp_path, InlineRunner(1), progress=listener)
    names = [call[0] for call in listener.calls]
    rounds = tiny_setting(tiny_dataset()).preset.capacity.rounds
    assert names.count("planned") == rounds
    later = [call[2] for call in listener.calls if call[0] == "predicted"]
    assert len(later) == rounds
    assert later == sorted(later, reverse=True)
    assert later[-1] == 0, "after the last round nothing is left"


def test_smaller_sets_lie_within_larger_ones_but_their_noise_is_drawn_anew():
    dataset = tiny_dataset()
    grid = range(10, 60, 7)
    draws = [set(split_indices(dataset.y, 4, n, 0, 3)[0].tolist()) for n in grid]
    assert all(a < b for a, b in itertools.pairwise(draws))
    small, large = (dataset.split(n, 0, seed=3)[0] for n in (20, 40))
    noisy = [corrupt(part, inputs=1.0, seed=3).x for part in (small, large)]
    assert not all(any((row == other).all() for other in noisy[1]) for row in noisy[0])


def test_what_is_not_known_is_asked_first_in_the_middle(setting):
    first = STUDY.plan(setting, NOTHING_KNOWN)
    assert {trial.data.train for trial in first} == {sizes(setting)[3]}
    assert len(first) == 3 * setting.seeds
    assert json.dumps([t.key for t in first]) == json.dumps([t.key for t in STUDY.plan(setting)])

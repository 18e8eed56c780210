"""What a study would take: sums over shapes, rounds, and workers."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.studies.tiny import tiny_dataset, tiny_setting

from byheart.record import Record
from byheart.runners import InlineRunner, ProcessesRunner
from byheart.runners.costs import makespan
from byheart.studies import estimate as estimating
from byheart.studies.estimate import Place, Seconds, estimate, seconds_of, side_by_side
from byheart.studies.experience import Experience, Spent, condition
from byheart.studies.registry import studies_of
from byheart.studies.rehearsing import Rehearsal, rehearse
from byheart.studies.rounds import costliest_rounds, expected_rounds, packs_of
from byheart.studies.session import at_most, plan
from byheart.training.cost import KINDS, flops
from byheart.training.paces import Paces
from byheart.training.packs import Pack, shape_of

CAPACITY = studies_of(["capacity-data"])
SEVERAL = studies_of(["capacity-data", "easy-examples", "csr-noise", "time-size"])
DATASET = tiny_dataset()
SETTING = tiny_setting(DATASET)
PACES = Paces(0.5, 2.0, 0.25, dict.fromkeys(KINDS, 1e-9))


def rehearsed(packs: list[Pack], *_: object) -> Rehearsal:
    return Rehearsal({shape_of(pack.trials[0]): PACES for pack in packs}, start=3.0)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "rehearse", rehearsed)


def all_packs(known: Mapping[str, Record] | None = None) -> list[Pack]:
    trials = at_most(SEVERAL, SETTING, known)
    return [pack for own in packs_of([trials], known or {}, SETTING, "cpu") for pack in own]


def test_shares_add_up_to_the_plan(paced: None) -> None:
    found = estimate(SEVERAL, SETTING, DATASET, {}, Place(InlineRunner(1)))
    trials = at_most(SEVERAL, SETTING)
    assert found.trials == len(trials) == sum(share.trials for share in found.shares)
    assert found.packs == sum(share.packs for share in found.shares)
    assert found.flops == pytest.approx(sum(flops(trial, (9,), 4) for trial in trials))
    assert found.stored == 0
    seconds = [share.seconds for share in found.shares]
    assert seconds == sorted(seconds, reverse=True)
    # One at a time, after the start of each round.
    rounds = 2  # Nothing is known of when trials stop: the second stands for all that come.
    assert found.seconds.expected == pytest.approx(sum(seconds) + rounds * 3.0)
    assert found.seconds.at_most >= found.seconds.expected
    assert found.guessed == sum(trial.algorithm.stop != "budget" for trial in trials)


def test_a_pack_takes_its_start_its_epochs_and_its_kinds_of_work() -> None:
    pack = max(all_packs(), key=lambda one: len(one.trials))
    budget, replicas = pack.trials[0].algorithm.epochs, len(pack.trials)
    rehearsal = Rehearsal({shape_of(pack.trials[0]): Paces(0.5, 2.0, 0.25, {})}, 0.0)
    whole = replicas * 0.5 + budget * (2.0 + 0.25 * replicas)
    assert seconds_of(pack, SETTING.data, rehearsal, Experience()) == Seconds(whole, whole)


def test_replicas_that_stop_early_leave_a_cheaper_epoch() -> None:
    pack = next(p for p in all_packs() if p.trials[0].algorithm.stop == "converged")
    replicas, budget = len(pack.trials), pack.trials[0].algorithm.epochs
    spent = {condition(trial): Spent(2.5, 4, 1.0, 3) for trial in pack.trials}
    rehearsal = Rehearsal({shape_of(pack.trials[0]): Paces(0.0, 2.0, 0.25, {})}, 0.0)
    found = seconds_of(pack, SETTING.data, rehearsal, Experience(spent))
    assert found.expected == pytest.approx(4 * 2.0 + replicas * 2.5 * 0.25)
    assert found.at_most == pytest.approx(budget * (2.0 + replicas * 0.25))


def test_a_search_is_expected_to_take_its_share_of_the_limit() -> None:
    pack = next(p for p in all_packs() if any(q.name == "critical" for q in p.trials[0].probes))
    shape = shape_of(pack.trials[0])
    rehearsal = Rehearsal({shape: Paces(0, 0, 0, {"search": 1e-9})}, 0.0)
    whole = seconds_of(pack, SETTING.data, rehearsal, Experience())
    half = seconds_of(pack, SETTING.data, rehearsal, Experience({}, {"search, budget": 0.5}))
    assert half.expected == pytest.approx(whole.expected / 2)
    assert half.at_most == pytest.approx(whole.at_most)


def test_a_machine_that_is_not_there_works_at_one_speed() -> None:
    found = estimate(SEVERAL, SETTING, DATASET, {}, Place(ProcessesRunner(2), "cuda", 1e9))
    assert found.workers == 1
    assert found.seconds.at_most == pytest.approx(found.flops / 1e9)


def test_no_packs_take_nothing(paced: None) -> None:
    known = {
        t.key: Record(t, "budget", epochs=1) for t in plan(studies_of(["randx-binomial"]), SETTING)
    }
    found = estimate(
        studies_of(["randx-binomial"]), SETTING, DATASET, known, Place(InlineRunner(1))
    )
    assert (found.packs, found.shares, found.seconds) == (0, [], Seconds(0.0, 0.0))
    assert found.stored == found.trials > 0


def test_what_failed_is_counted_again(paced: None) -> None:
    studies = studies_of(["randx-binomial"])
    first, *others = plan(studies, SETTING)
    known = {trial.key: Record(trial, "budget", epochs=1) for trial in others}
    known[first.key] = Record(first, "failed", epochs=0)
    found = estimate(studies, SETTING, DATASET, known, Place(InlineRunner(1)))
    assert (found.stored, found.packs) == (len(others), 1)


def test_rounds_are_those_that_the_expected_outcomes_lead_to() -> None:
    """If every size is fitted the search goes up; where nothing is known, it is bounded."""
    first = plan(CAPACITY, SETTING)
    seen = {trial.key: trial for trial in at_most(CAPACITY, SETTING)}
    spent = {condition(trial): Spent(3, 5, 1.0, 3) for trial in (*first, *seen.values())}
    upwards = expected_rounds(CAPACITY, SETTING, Experience(spent), {})
    assert len(upwards) == SETTING.preset.capacity.rounds
    assert {t.key for own in upwards for t in own} == set(seen)
    guessed = expected_rounds(CAPACITY, SETTING, Experience(), {})
    assert [len(own) for own in guessed] == [len(first), len(seen) - len(first)]


def test_what_is_stored_leads_to_the_rounds_after_it() -> None:
    first = plan(CAPACITY, SETTING)
    known = {trial.key: Record(trial, "budget", epochs=12) for trial in first}
    rounds = expected_rounds(CAPACITY, SETTING, Experience(), known)
    assert rounds[0] == first
    assert max(t.data.train for own in rounds[1:] for t in own) < first[0].data.train
    packs = packs_of(rounds, known, SETTING, "cpu")
    assert not {t.key for own in packs for p in own for t in p.trials} & set(known)
    bound = costliest_rounds(CAPACITY, SETTING, known)
    assert {t.key for own in bound for t in own} == {
        t.key for t in at_most(CAPACITY, SETTING, known)
    }


def test_packs_go_to_whoever_is_free_first() -> None:
    assert makespan([5.0, 3.0, 3.0, 1.0], 2) == 6.0
    assert makespan([5.0, 3.0], 1) == 8.0
    assert makespan([], 4) == 0.0


def test_rounds_wait_for_the_longest_pack_of_the_one_before() -> None:
    packs = all_packs()[:3]
    a, b, c = (pack.key for pack in packs)
    seconds, costs = {a: 5.0, b: 4.0, c: 1.0}, {a: 1.0, b: 3.0, c: 2.0}
    # b and c first, since they are taken to be the costliest; then a.
    assert side_by_side([packs], seconds, costs, 2, 0.5) == 0.5 + 6.0
    assert side_by_side([packs[:2], packs[2:]], seconds, costs, 2, 0.5) == 0.5 + 5.0 + 0.5 + 1.0


@pytest.mark.parametrize("runner", [InlineRunner(1), ProcessesRunner(1)])
def test_a_rehearsal_goes_where_packs_would_be_trained(
    runner: InlineRunner | ProcessesRunner, tmp_path: Path
) -> None:
    packs = [p for p in all_packs() if not p.trials[0].probes][:2]
    found = rehearse(packs, DATASET, runner, "cpu")
    # Either part alone may be lost in noise.
    assert all(found.of(pack).epoch + found.of(pack).replica > 0 for pack in packs)
    assert (found.start > 0.5) == isinstance(runner, ProcessesRunner)

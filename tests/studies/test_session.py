"""A session trains what is missing, stores what ends, and judges from what is stored."""

import numpy as np
import pytest
from tests.runners.examples import Listener
from tests.studies.tiny import CLAIMS, run, tiny_dataset, tiny_setting, without_timings

from byheart.errors import StoreError
from byheart.runners.base import InlineRunner, Progress
from byheart.runners.processes import ProcessesRunner
from byheart.store import Store
from byheart.studies.folder import current_facts, load_session
from byheart.studies.registry import studies_of
from byheart.studies.rounds import missing_packs, plan
from byheart.training import engine, prediction
from byheart.training.packs import Pack, make_packs


class Trainer:
    """The engine, with a memory of what it trained, that fails or is interrupted at one pack."""

    def __init__(self, *, fails_at=None, stops_at=None):
        self.packs = []
        self._fails_at, self._stops_at = fails_at, stops_at

    def __call__(self, pack, dataset, *, device, on_epoch):
        self.packs.append(pack)
        if len(self.packs) == self._stops_at:
            raise KeyboardInterrupt
        if len(self.packs) == self._fails_at:
            raise RuntimeError("out of luck")
        return engine.train(pack, dataset, device=device, on_epoch=on_epoch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its folder and its result."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, InlineRunner(1), command=lambda claims, seeds: ("byheart", "study"))


def test_every_claim_is_judged_and_every_trial_stored(finished):
    folder, result = finished
    assert [finding.claim for finding in result.findings] == list(CLAIMS)
    assert result.trained == len(result.trials) == len(result.records) > 100
    assert result.failed == []
    with Store.open(folder, create=False) as store:
        assert store.missing(result.trials) == []
        assert store.verify() == []


def test_a_finished_study_run_again_trains_nothing_and_finds_the_same(finished):
    folder, first = finished
    trainer = Trainer()
    again = run(folder, InlineRunner(1, trainer))
    assert trainer.packs == []
    assert again.trained == 0
    assert again.findings == first.findings


def test_an_interrupted_study_resumes_with_the_packs_of_the_full_plan(finished, tmp_path):
    stopped, resumed = Trainer(stops_at=4), Trainer()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InlineRunner(1, stopped))
    result = run(tmp_path, InlineRunner(1, resumed))
    setting = tiny_setting(tiny_dataset())
    full = make_packs(plan(studies_of(CLAIMS), setting), shape=(9,), classes=4)
    assert stopped.packs[:3] + resumed.packs == full
    assert without_timings(result.findings) == without_timings(finished[1].findings)


def test_a_failed_pack_is_recorded_and_trained_again_next_time(finished, tmp_path):
    first = run(tmp_path, InlineRunner(1, Trainer(fails_at=1)))
    assert len(first.records) == len(first.trials)
    (reason,) = {record.reason for record in first.failed}
    assert reason.startswith("RuntimeError: out of luck")
    assert any(finding.failed for finding in first.findings)
    trainer = Trainer()
    second = run(tmp_path, InlineRunner(1, trainer))
    assert len(trainer.packs) == 1
    assert second.trained == len(first.failed)
    assert second.failed == []
    assert without_timings(second.findings) == without_timings(finished[1].findings)


def test_packs_lose_stored_trials_but_are_never_cut_anew():
    setting = tiny_setting(tiny_dataset())
    trials = plan(studies_of(CLAIMS), setting)
    full = make_packs(trials, shape=(9,), classes=4)
    stored = {full[0].trials[0].key, *(trial.key for trial in full[1].trials)}
    rest = missing_packs(trials, {trial.key for trial in trials} - stored, setting)
    assert rest[0].trials == full[0].trials[1:]
    assert rest[1:] == full[2:]


def test_progress_hears_what_is_stored_and_that_it_is_over(finished, tmp_path):
    listener = Listener()
    run(finished[0], InlineRunner(1), progress=listener)
    assert listener.calls == [("skipped", len(finished[1].trials)), ("close",)]
    interrupted = Listener()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InlineRunner(1, Trainer(stops_at=1)), progress=interrupted)
    assert interrupted.calls[-1] == ("close",)


def test_what_was_asked_for_comes_back_exactly(finished):
    folder, result = finished
    with Store.open(folder) as store:
        run_facts = store.last_run()
    with Store.open(folder, create=False) as store:
        facts = load_session(store)
    assert facts.setting == result.facts.setting == tiny_setting(tiny_dataset())
    assert facts.setting.preset.dynamics.radii[0] == 1 / 765
    assert facts.claims == CLAIMS
    assert facts.started == run_facts["started"]
    assert facts.versions["torch"].startswith("2.")
    assert set(facts.versions) == {"byheart", "python", "torch", "numpy", "scipy"}


def test_the_command_line_is_kept(tmp_path):
    def command(claims, seeds):
        return ("byheart", "study", *claims, "--seeds", str(seeds))

    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="no study was run"):
        load_session(store)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InlineRunner(1, Trainer(stops_at=1)), command=command)
    with Store.open(tmp_path, create=False) as store:
        assert load_session(store).command == ("byheart", "study", *CLAIMS, "--seeds", "3")


@pytest.mark.parametrize("lost", ["setting", "claims"])
def test_a_study_of_another_version_is_named(tmp_path, lost):
    facts = {"setting": {"preset": {"name": "old"}}, "claims": [], "command": []}
    facts["versions"] = {"byheart": "9.9"}
    del facts[lost]
    with Store.open(tmp_path) as store:
        store.save_run(facts)
        with pytest.raises(StoreError, match=r"run by byheart 9\.9, which .* run the study again"):
            load_session(store)


def test_facts_name_no_machine():
    facts = current_facts(CLAIMS, tiny_setting(tiny_dataset()))
    assert set(facts.machine) == {"system", "processor", "cores"}


@pytest.mark.slow
def test_processes_leave_the_same_bits_as_one_process(finished, tmp_path):
    _, first = finished
    second = run(tmp_path, ProcessesRunner(2))
    assert second.facts.runner == "processes"
    assert without_timings(second.findings) == without_timings(first.findings)
    assert {record.threads for record in second.records.values()} == {1}
    assert list(second.records) == list(first.records)
    for key, record in first.records.items():
        assert_same_bits(record, second.records[key])


@pytest.mark.slow
def test_two_threads_leave_the_same_bits_as_one(finished):
    _, first = finished
    probed = [trial for trial in first.trials if len(trial.probes) > 1]
    pack = Pack(tuple(probed[:2]))
    by_one, by_two = (trained(pack, InlineRunner(threads)) for threads in (1, 2))
    for record, second in zip(by_one, by_two, strict=True):
        assert_same_bits(record, second)
        assert (record.threads, second.threads) == (1, 2)


def trained(pack, runner):
    options = {"device": "cpu", "progress": Progress()}
    (result,) = runner.run([pack], tiny_dataset(), **options)
    return result.records


def assert_same_bits(first, second):
    assert (first.outcome, first.epochs) == (second.outcome, second.epochs)
    assert first.outcome != "failed"
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name], strict=True)


def test_a_study_whose_time_cannot_be_predicted_says_why_and_runs(tmp_path, monkeypatch):
    lines = []

    class Notes(Progress):
        def note(self, line):
            lines.append(line)

    def fails(packs, dataset, device):
        raise RuntimeError("no clock\nand more")

    monkeypatch.setattr(prediction, "measure_speeds", fails)
    trainer = Trainer(stops_at=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InlineRunner(1, trainer), progress=Notes())
    assert lines == ["the time that the study takes is unknown: timing its work failed: no clock"]
    assert len(trainer.packs) == 1

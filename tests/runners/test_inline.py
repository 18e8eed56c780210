"""The inline runner trains in order, and records what fails."""

import pytest
import torch
from tests.runners import trainers
from tests.runners.examples import Listener, a_pack

from byheart.runners.base import InlineRunner, Progress

TRAIN = "tests.runners.trainers:train"


def run(packs, dataset, runner=None, progress=None):
    runner = runner or InlineRunner(train=TRAIN)
    return list(runner.run(packs, dataset, device="cpu", progress=progress or Progress()))


def test_packs_come_back_in_order_with_a_record_per_trial(dataset):
    packs = [a_pack(0), a_pack(1, size=3)]
    results = run(packs, dataset)
    assert [result.pack for result in results] == packs
    assert [result.error for result in results] == [None, None]
    for result in results:
        assert [record.trial for record in result.records] == list(result.pack.trials)


def test_an_exception_becomes_failed_records_with_type_message_and_place(dataset):
    broken, fine = run([a_pack(0, trainers.RAISES), a_pack(1)], dataset)
    assert fine.error is None
    assert broken.error.startswith("RuntimeError: the loss went away (trainers.py:")
    assert [record.outcome for record in broken.records] == ["failed", "failed"]
    assert {record.reason for record in broken.records} == {broken.error}


def test_a_trial_without_a_record_makes_the_pack_fail(dataset):
    (result,) = run([a_pack(0, trainers.FORGETS)], dataset)
    assert result.error == "training did not return one record per trial"
    assert [record.trial for record in result.records] == list(result.pack.trials)


def test_an_interrupt_is_no_failure(dataset):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([a_pack(0)], dataset, InlineRunner(train=interrupted))


def test_threads_are_pinned_while_training_and_given_back(dataset):
    before = torch.get_num_threads()
    (result,) = run([a_pack(0)], dataset, InlineRunner(threads=before + 1, train=TRAIN))
    assert result.records[0].threads == before + 1
    assert torch.get_num_threads() == before


def test_progress_hears_of_every_epoch(dataset):
    listener = Listener()
    run([a_pack(0)], dataset, progress=listener)
    assert listener.calls == [
        ("planned", 1),
        ("started", "2 x 8, n=20"),
        ("epoch", 1, 3),
        ("epoch", 2, 3),
        ("epoch", 3, 3),
        ("finished", 2),
    ]

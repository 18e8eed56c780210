"""The audit of a user's network and data, from one call to the table."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.auditing.networks import eleven, normed, same, small
from tests.auditing.trainings import flipped_by_hand, tracked
from torch import nn

import byheart
from byheart.errors import InputError


@pytest.fixture(scope="module")
def noisy() -> byheart.Dataset:
    return byheart.corrupt(byheart.load_dataset("digits", size=400), labels=0.2, seed=1)


@pytest.fixture(scope="module")
def audited(noisy: byheart.Dataset) -> byheart.Audit:
    return byheart.audit(small, noisy, epochs=15, seeds=3, learning_rate=0.1)


def test_wrong_labels_are_the_most_suspect(audited: byheart.Audit, noisy: byheart.Dataset) -> None:
    wrong = (noisy.y != noisy.clean_y).numpy()
    assert roc_auc_score(wrong, audited.table["suspicion"]) > 0.95
    found = audited.table["suggested"].to_numpy()[wrong] == noisy.clean_y.numpy()[wrong]
    assert found.mean() > 0.7


def test_the_table_has_a_row_for_every_example_by_id(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    assert audited.table.index.name == "id"
    assert audited.table.index.tolist() == list(range(400))
    np.testing.assert_array_equal(audited.table["label"], noisy.y)
    assert audited.table["suspicion"].notna().all()


def test_the_same_audit_gives_the_same_table(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    settings = {"epochs": 15, "seeds": 3, "learning_rate": 0.1}
    again = byheart.audit("tests.auditing.networks:small", noisy, **settings)
    assert again.table.equals(audited.table)
    assert again.onset is not None
    assert again.onset.epoch == audited.onset.epoch
    other = byheart.audit(small, noisy, **settings | {"epochs": 1, "seed": 1})
    first = byheart.audit(small, noisy, **settings | {"epochs": 1})
    assert not other.table.equals(first.table)


def test_a_network_with_batch_norm_trains_though_one_example_is_left_over(
    noisy: byheart.Dataset,
) -> None:
    # 361 are trained on: eleven batches of 32 leave 9 over, and batches of 40 leave one.
    found = byheart.audit(normed, noisy.subset(range(401 - 1)), epochs=2, seeds=2, batch_size=40)
    assert found.table["suspicion"].notna().all()


def test_trackers_give_an_audit_of_a_users_own_training() -> None:
    (one, history), (two, _) = tracked(0), tracked(1)
    both = byheart.Audit.from_tracker([one, two], window=3)
    assert both.seeds == 2
    assert both.onset is None
    np.testing.assert_allclose(
        both.table["suspicion"][1:],
        -np.nanmean([t.scores(stop=3)["aum"][1:] for t in (one, two)], axis=0),
        rtol=1e-5,
    )
    assert byheart.Audit.from_tracker(one).table.equals(byheart.Audit.from_tracker(history).table)


def test_planted_labels_of_a_users_own_training_say_how_far_to_believe_the_ranking(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    own = flipped_by_hand(noisy)
    found = byheart.Audit.from_tracker(own.tracker, planted=own.planted, precision=0.8)
    rest = np.setdiff1d(np.arange(len(noisy)), own.planted)
    wrong = (noisy.y != noisy.clean_y).numpy()
    assert found.calibration is not None
    assert found.calibration.planted == len(own.planted)
    listed = found.table["flagged"].to_numpy()
    assert not listed[own.planted].any()
    assert found.table["verdict"][own.planted].eq("").all()
    assert wrong[listed].mean() > 0.6
    assert listed[rest][wrong[rest]].mean() > 0.5


def test_the_inputs_of_a_users_own_training_find_its_twins() -> None:
    _, history = tracked()
    x = np.random.default_rng(0).random((30, 4), np.float32)
    x[3] = x[4]
    y = history.labels.copy()
    y[0], y[3] = 0, (y[4] + 1) % 5
    data = byheart.Dataset.from_arrays("mine", x, y, ["a", "b", "c", "d", "e"])
    found = byheart.Audit.from_tracker(history, dataset=data)
    assert found.name == "mine"
    assert found.classes == ("a", "b", "c", "d", "e")
    with pytest.raises(InputError, match="the data set has 29 examples, and the runs had 30"):
        byheart.Audit.from_tracker(history, dataset=data.subset(range(29)))


def test_epochs_that_missed_examples_are_counted_and_said() -> None:
    tracker, history = tracked()
    found = byheart.Audit.from_tracker(tracker)
    np.testing.assert_array_equal(found.gaps, [history.gaps])
    assert any("did not see every example" in note for note in found.notes)
    assert any("never seen" in note for note in found.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "the window .0, 0. must hold one epoch"),
        ({"window": 99}, "must hold one epoch or more of the 6"),
        ({"planted": [0, 30]}, "planted ids must be 0 to 29, got 30"),
        ({"precision": 1.0}, "precision must be above 0 and below 1"),
        ({"classes": ["a"]}, "classes must be 5 names, one per output, got 1"),
    ],
)
def test_what_a_tracker_cannot_answer_is_one_line(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        byheart.Audit.from_tracker(tracked()[1], **arguments)


def test_a_class_without_examples_is_said_and_never_planted(noisy: byheart.Dataset) -> None:
    with_empty = replace(noisy, classes=(*noisy.classes, "none"))
    found = byheart.audit(eleven, with_empty, epochs=3, seeds=2)
    assert "Classes without examples: none" in found.notes


def test_the_columns_that_cost_more_are_there_when_asked_for(noisy: byheart.Dataset) -> None:
    data = noisy.subset(range(120))
    found = byheart.audit(small, data, epochs=8, seeds=2, critical_radius=0.1, subsets=10)
    for name in ("memorization", "memorization_error", "influence", "influence_error"):
        assert found.table[name].notna().mean() > 0.9
    assert found.table["critical"].dtype == bool
    assert (found.table["sensitivity"] > 0).all()
    assert "critical" not in byheart.audit(small, data, epochs=1, seeds=2, sensitivity=False).table


def test_too_few_planted_flips_are_counted_and_the_remedy_is_said(noisy: byheart.Dataset) -> None:
    none = byheart.audit(small, noisy, epochs=1, seeds=2, planted=0)
    assert none.calibration is None
    assert none.flagged.empty
    assert none.table["p_wrong"].isna().all()
    assert any(note.startswith("No flips were planted: precision") for note in none.notes)
    found = byheart.audit(small, noisy, epochs=1, seeds=2, planted=0.02)
    (note,) = [note for note in found.notes if "planted" in note]
    assert re.search(r"^\d+ flips were planted, over all seeds, which is too few", note)
    assert "Plant 20 or more: raise the share of planted labels" in note
    assert not any("gaps" in other for other in found.notes)
    own = byheart.Audit.from_tracker(tracked()[0], planted=[3])
    assert any(note.startswith("1 flip was planted") for note in own.notes)


def test_flips_of_a_network_that_learned_nothing_are_said_to_tell_nothing(
    noisy: byheart.Dataset,
) -> None:
    found = byheart.audit(small, noisy, epochs=1, seeds=2, planted=0.2, learning_rate=1e-5)
    assert found.calibration is None
    (note,) = [note for note in found.notes if "planted" in note]
    assert re.search(r"^\d+ flips were planted, but they hardly look more suspect than", note)
    assert "Train until the network has learned something" in note


def test_as_few_labels_are_flipped_as_tell_enough(
    noisy: byheart.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 2, "seeds": 3, "sensitivity": False}
    # Each of two seeds flips 6% of 400 labels: fewer than half of 600.
    six = byheart.audit(small, noisy, **settings)
    assert six.table.equals(byheart.audit(small, noisy, planted=0.06, **settings).table)
    monkeypatch.setattr("byheart.auditing.run.FLIPS", 32)
    few = byheart.audit(small, noisy, **settings)
    assert few.table.equals(byheart.audit(small, noisy, planted=0.04, **settings).table)
    assert not few.table.equals(six.table)


def test_the_ranking_is_that_of_the_list_and_goes_on_below_it(audited: byheart.Audit) -> None:
    assert audited.calibration is not None
    listed = audited.calibration.listed
    assert len(listed) > 0
    np.testing.assert_array_equal(audited.ranking[: len(listed)], listed)
    np.testing.assert_array_equal(np.sort(audited.ranking), np.arange(len(audited.table)))
    p_wrong = audited.table["p_wrong"].to_numpy()[audited.ranking]
    assert (np.diff(p_wrong) <= 0).all()


def test_without_flips_the_ranking_is_by_suspicion_and_leaves_out_what_has_none() -> None:
    found = byheart.Audit.from_tracker(tracked()[0])
    assert found.table["suspicion"].isna().any()
    suspicion = found.table["suspicion"].dropna()
    assert list(found.ranking) == list(suspicion.sort_values(ascending=False, kind="stable").index)


def test_a_handful_of_examples_is_too_few(noisy: byheart.Dataset) -> None:
    with pytest.raises(InputError, match="has 19 examples: an audit needs 20"):
        byheart.audit(small, noisy.subset(range(19)), epochs=1)
    few = byheart.audit(small, noisy.subset(range(20)), epochs=1, seeds=2)
    assert few.calibration is None
    assert few.onset is not None


def test_progress_counts_every_epoch_of_every_training(noisy: byheart.Dataset) -> None:
    seen: list[tuple[int, int]] = []
    byheart.audit(small, noisy, epochs=2, seeds=3, subsets=10, on_epoch=lambda *at: seen.append(at))
    assert seen[-1] == (26, 26)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"seeds": 1}, "seeds must be a whole number of 2 or more, got 1"),
        ({"subsets": 3}, "subsets must be 0, or 10 and more, got 3"),
        ({"subsets": 0.5}, "subsets must be a whole number of 0 or more, got 0.5"),
        ({"planted": 0.5}, "planted must be from 0 to 0.3, got 0.5"),
        ({"precision": 0}, "precision must be above 0 and below 1, got 0"),
        ({"momentum": 1.0}, "momentum must be from 0 to below 1"),
        ({"device": "abacus"}, "unknown device 'abacus'"),
        ({"learning_rate": 1e30}, "training diverged in epoch 1.*lower it"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
    ],
)
def test_an_argument_that_cannot_be_is_one_line(
    noisy: byheart.Dataset, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        byheart.audit(small, noisy, **{"epochs": 2, "seeds": 2, **arguments})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (same, r"model_factory tests\.auditing\.networks\.same: two"),
        (small(), "model_factory is a Sequential"),
        (lambda: nn.Linear(5, 10), r"does not take \[N, 8, 8\]"),
    ],
)
def test_what_makes_no_networks_of_these_inputs_is_named(
    noisy: byheart.Dataset, network: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        byheart.audit(network, noisy)


def test_the_function_stays_a_function_whatever_is_imported_first() -> None:
    program = (
        "import byheart.auditing.audit, byheart.auditing.scores, byheart\n"
        "from byheart import audit\n"
        "assert callable(byheart.audit) and audit is byheart.audit\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

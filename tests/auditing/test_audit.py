"""The audit of a user's network and data, from one call to the table."""

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
from byheart.auditing.isotonic import strata_of
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


def test_planted_labels_of_a_users_own_training_are_bounded_and_not_judged(
    noisy: byheart.Dataset,
) -> None:
    training = flipped_by_hand(noisy)
    audit = byheart.Audit.from_tracker(training.tracker, planted=training.planted)
    bounds = audit.calibration.kinds
    assert bounds["flips"].tolist() == [len(training.planted.ids)]
    assert 0.05 < bounds.loc["uniform", "most_wrong"] < 0.6
    assert not audit.table["flagged"][training.planted.ids].any()
    assert audit.table["verdict"][training.planted.ids].eq("").all()
    with pytest.raises(InputError, match="give the labels that were trained on"):
        other = byheart.plant(noisy.y.numpy(), 0.1, seed=5)
        byheart.Audit.from_tracker(training.tracker, planted=other)


def test_planting_does_not_change_the_ranking(noisy: byheart.Dataset) -> None:
    settings = {"epochs": 3, "seeds": 2, "sensitivity": False}
    without = byheart.audit(small, noisy, **settings)
    planted = byheart.audit(small, noisy, planted=0.2, **settings)
    assert planted.table.equals(without.table)
    assert planted.calibration.kinds["flips"].sum() == 81
    assert without.calibration.kinds.empty


def test_reviews_say_how_many_labels_are_wrong(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    wrong = (noisy.y != noisy.clean_y).numpy()
    drawn = audited.to_review(80, seed=1)
    assert len(set(drawn.index)) == 80
    assert drawn["probability"].between(0, 1).all()
    reviewed = audited.review(drawn.assign(verdict=np.where(wrong[drawn.index], "wrong", "right")))
    found = reviewed.calibration
    assert found.mislabelled.low <= wrong.sum() <= found.mislabelled.high
    assert found.assured and wrong[found.flagged].mean() > 0.9
    rows = reviewed.table
    assert rows["reviewed"].ne("").sum() == 80
    np.testing.assert_array_equal(np.flatnonzero(rows["flagged"]), np.sort(found.flagged))
    assert reviewed.flagged.index.tolist() == found.flagged.tolist()
    # Nothing is drawn twice, and other estimates start from the same ranking.
    more = reviewed.to_review(100)
    assert not set(more.index) & set(drawn.index)
    np.testing.assert_array_equal(reviewed.calibration.ranking, audited.calibration.ranking)


def test_a_sample_is_balanced_wherever_a_reviewer_stops(audited: byheart.Audit) -> None:
    ranks = {i: rank for rank, i in enumerate(audited.calibration.ranking.tolist())}
    bounds = strata_of(len(ranks))
    drawn = np.array([ranks[i] for i in audited.to_review(60).index])
    strata = np.searchsorted(bounds, drawn, "right") - 1
    for turn in range(2):
        part = strata[turn * (len(bounds) - 1) :][: len(bounds) - 1]
        assert len(set(part)) >= len(bounds) - 3
    whole = audited.to_review(10_000)
    assert len(whole) == 400 and whole["probability"].eq(1).all()
    assert audited.to_review(20).index.tolist() == audited.to_review(60).index[:20].tolist()
    with pytest.raises(InputError, match="n must be a whole number of 1 or more, got 0"):
        audited.to_review(0)


def test_reviews_of_another_data_set_are_refused(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    drawn = audited.to_review(20).assign(verdict="wrong", data="0000")
    with pytest.raises(InputError, match="reviews another data set: its fingerprint is 0000"):
        audited.review(drawn)


def test_verdict_list_and_probability_agree(audited: byheart.Audit, noisy: byheart.Dataset) -> None:
    wrong = (noisy.y != noisy.clean_y).numpy()
    ids = audited.to_review(60).index
    for audit in (audited, audited.review({int(i): bool(wrong[i]) for i in ids})):
        rows = audit.table
        assert rows.loc[rows["verdict"] == "mislabelled", "flagged"].all()
        assert not rows.loc[rows["flagged"], "verdict"].isin(["", "typical"]).any()
        assert not rows.loc[rows["verdict"] == "mislabelled", "p_wrong"].lt(0.5).any()
        assert not rows.loc[rows["verdict"] == "typical", "p_wrong"].ge(0.5).any()
        assert not rows.loc[rows["reviewed"] == "right", "flagged"].any()
        assert rows.loc[rows["reviewed"] == "wrong", "verdict"].eq("mislabelled").all()
        listed = rows.loc[rows["flagged"], "p_wrong"]
        assert listed.isna().all() or listed.min() >= rows.loc[~rows["flagged"], "p_wrong"].max()


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
        ({"planted": byheart.plant([0, 1] * 10)}, "20 labels were planted, and 30 are given"),
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


def test_without_reviews_nothing_is_claimed_and_the_most_suspect_are_listed(
    audited: byheart.Audit,
) -> None:
    found = audited.calibration
    assert np.isnan([found.mislabelled.value, found.precision.value, found.recall.value]).all()
    assert audited.table["p_wrong"].isna().all()
    np.testing.assert_array_equal(found.flagged, audited.ranking[: len(found.flagged)])
    assert len(found.flagged) > 20


def test_without_reviews_the_ranking_is_by_suspicion_and_leaves_out_what_has_none() -> None:
    found = byheart.Audit.from_tracker(tracked()[0])
    assert found.table["suspicion"].isna().any()
    suspicion = found.table["suspicion"].dropna()
    assert list(found.ranking) == list(suspicion.sort_values(ascending=False, kind="stable").index)


def test_a_handful_of_examples_is_too_few(noisy: byheart.Dataset) -> None:
    with pytest.raises(InputError, match="has 19 examples: an audit needs 20"):
        byheart.audit(small, noisy.subset(range(19)), epochs=1)
    few = byheart.audit(small, noisy.subset(range(20)), epochs=1, seeds=2)
    assert len(few.calibration.flagged) > 0
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


def test_the_public_names_of_reviews_and_planting_are_a_contract(audited: byheart.Audit) -> None:
    drawn = audited.to_review(n=40, seed=1)
    assert drawn.index.name == "id"
    assert {"stratum", "probability", "label", "suggested"} <= set(drawn)
    verdicts = drawn.reset_index()[["id", "label"]].assign(verdict="right")
    assert audited.review(verdicts).calibration.basis.endswith("reviews")
    labels = [0, 1] * 50
    planted = byheart.plant(labels, share=0.1, kind="uniform", probabilities=None, seed=0)
    changed = planted.labels[planted.ids]
    assert (changed != planted.true).all() and len(planted.ids) == 10
    found = byheart.calibrate(
        range(100), planted.labels, planted=planted, reviews=None, precision=0.9, seed=0
    )
    assert (found.basis, len(found.p_wrong)) == ("planted", 100)
    for estimate in (found.mislabelled, found.precision, found.recall):
        assert {"value", "low", "high"} <= set(dir(estimate))
    assert len(found.flagged)

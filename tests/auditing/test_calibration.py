"""Estimates from planted flips, against labels that are known to be wrong."""

import numpy as np
import pytest

from byheart.auditing.calibration import calibrate
from byheart.auditing.groups import Grouping

APART = 4.0


def scored(share: float, n: int = 1_000, m: int = 200, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return which labels are wrong, and scores of examples and of planted flips in two seeds."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < share
    example, flip = rng.normal(APART * wrong), rng.normal(APART, size=(2, m // 2))
    user = example + rng.normal(0, 0.1, (2, n))
    return wrong, user, flip


@pytest.mark.parametrize("wanted", [0.9, 0.95])
def test_the_list_is_about_as_precise_as_was_asked_for(wanted: float) -> None:
    precise, recalled, counted = [], [], []
    for seed in range(4):
        wrong, user, planted = scored(0.1, 20_000, 2_000, seed)
        found = calibrate(user.mean(0), user, planted, wanted=wanted)
        top = found.p_wrong >= found.threshold
        assert set(np.flatnonzero(top)) == set(found.listed)
        assert found.precision.value == pytest.approx(wanted, abs=0.01)
        precise.append(wrong[top].mean())
        recalled.append(wrong[top].sum() / wrong.sum() - found.recall.value)
        counted.append(found.mislabelled.value / wrong.sum())
    assert np.mean(precise) == pytest.approx(wanted, abs=0.03)
    assert np.mean(recalled) == pytest.approx(0, abs=0.03)
    assert np.mean(counted) == pytest.approx(1, abs=0.05)


def test_seeds_that_planted_nothing_may_be_surer_of_all_labels() -> None:
    """Trained on fewer wrong labels, they are: a flip would be as suspect there, too."""
    _, user, planted = scored(0.1, 20_000, 2_000)
    surer = calibrate(1.3 * user.mean(0) + 0.2, user, planted, wanted=0.9)
    same = calibrate(user.mean(0), user, planted, wanted=0.9)
    np.testing.assert_array_equal(surer.listed, same.listed)
    assert surer.mislabelled == same.mislabelled


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    hits = {"precision": 0, "recall": 0, "mislabelled": 0}
    for seed in range(60):
        wrong, user, planted = scored(0.1, seed=seed)
        found = calibrate(user.mean(0), user, planted, wanted=0.9, seed=seed)
        top = found.listed
        truth = {
            "precision": wrong[top].mean(),
            "recall": wrong[top].sum() / wrong.sum(),
            "mislabelled": wrong.sum(),
        }
        for name, value in truth.items():
            interval = getattr(found, name)
            hits[name] += interval.low <= value <= interval.high
    # Of 60 at 90%, fewer than 46 would come by chance once in a thousand times.
    assert all(count >= 46 for count in hits.values()), hits


def test_a_clean_data_set_has_next_to_nothing_flagged() -> None:
    _, user, planted = scored(0.0)
    found = calibrate(user.mean(0), user, planted, wanted=0.9)
    assert found.flagged <= 3
    assert found.mislabelled.value < 10


def of_two_kinds(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return what is wrong, scores, and kinds: a fifth of all are doubts that are hard to judge.

    Wrong labels of this kind have low scores, and a fifth of the flips are of the other, of which
    the user has no wrong labels.
    """
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.2
    wrong = hard & (rng.random(n) < 0.4)
    example, flips = rng.normal(3.0 * wrong), rng.random((2, m // 2)) < 0.8
    planted = rng.normal(np.where(flips, 3.0, 7.0))
    return wrong, example + rng.normal(0, 0.1, (2, n)), planted, Grouping(hard, flips)


def test_kinds_of_doubt_are_calibrated_apart() -> None:
    counted, precise, recalled = [], [], []
    for seed in range(4):
        wrong, user, planted, kinds = of_two_kinds(20_000, 2_000, seed)
        apart = calibrate(user.mean(0), user, planted, wanted=0.8, grouping=kinds)
        counted.append(apart.mislabelled.value / wrong.sum())
        precise.append(wrong[apart.listed].mean())
        recalled.append(wrong[apart.listed].sum() / wrong.sum() - apart.recall.value)
    assert np.mean(counted) == pytest.approx(1, abs=0.05)
    assert np.mean(precise) == pytest.approx(0.8, abs=0.03)
    assert np.mean(recalled) == pytest.approx(0, abs=0.03)
    together = calibrate(user.mean(0), user, planted, wanted=0.8)
    assert together.mislabelled.value < wrong.sum() / 2


def test_wrong_labels_that_look_right_are_counted_though_no_flip_is_like_them() -> None:
    wrong, user, planted = scored(0.1, 20_000, 2_000)
    rng = np.random.default_rng(3)
    # Of ten wrong labels, one lies on an example that looks as if it deserved it.
    hidden = wrong & (rng.random(len(wrong)) < 0.1)
    user[:, hidden] = rng.normal(size=hidden.sum())
    stands_for = np.zeros((2, len(wrong)))
    doubted = rng.choice(np.flatnonzero(~wrong), 200, replace=False)
    stands_for[0, doubted] = planted.size / 9 / 200
    kinds = Grouping(np.zeros(len(wrong), bool), np.zeros(planted.shape, bool), stands_for)
    found = calibrate(user.mean(0), user, planted, wanted=0.9, grouping=kinds)
    recall = wrong[found.listed].sum() / wrong.sum()
    assert found.mislabelled.low <= wrong.sum() <= found.mislabelled.high
    assert found.recall.value == pytest.approx(recall, abs=0.02)
    assert found.recall.low <= recall <= found.recall.high
    assert found.curve["recall"].iloc[-1] == pytest.approx(1)
    without = calibrate(user.mean(0), user, planted, wanted=0.9)
    assert without.recall.low > recall + 0.04
    assert found.flagged == without.flagged
    np.testing.assert_array_equal(found.p_wrong, without.p_wrong)


def test_a_kind_with_too_few_flips_is_calibrated_with_the_other() -> None:
    _, user, planted = scored(0.1)
    few = np.zeros(planted.shape, bool)
    few[0, :5] = True
    one = calibrate(user.mean(0), user, planted, wanted=0.9)
    same = calibrate(
        user.mean(0), user, planted, wanted=0.9, grouping=Grouping(np.arange(1000) < 100, few)
    )
    np.testing.assert_array_equal(one.p_wrong, same.p_wrong)


def test_an_empty_list_has_no_precision_and_recalls_nothing() -> None:
    rng = np.random.default_rng(0)
    user, planted = rng.normal(size=(2, 500)), rng.normal(6, 0.5, size=(2, 50))
    found = calibrate(user.mean(0), user, planted, wanted=0.99)
    assert found.flagged == 0
    assert found.threshold == np.inf
    assert np.isnan(found.precision.value)
    assert found.recall.value == 0


def test_a_list_ends_where_labels_are_surely_right_though_it_may_be_less_precise() -> None:
    wrong, user, planted = scored(0.2, 5_000, 1_000)
    apart = np.where(wrong, 20.0, 0.0)
    found = calibrate((user + apart).mean(0), user + apart, planted + 20, wanted=0.5)
    assert found.flagged == pytest.approx(wrong.sum(), abs=3)
    assert wrong[found.listed].mean() > 0.99
    assert found.threshold >= 0.1


def test_too_few_flips_and_flips_that_rank_like_the_users_labels_tell_nothing() -> None:
    _, user, planted = scored(0.1)
    for flips in (planted[:, :9], planted - APART):
        assert calibrate(user.mean(0), user, flips, wanted=0.9) is None


def test_a_longer_list_is_less_precise_and_recalls_more() -> None:
    _, user, planted = scored(0.2)
    total = user.mean(0)
    # Examples without a score are left out.
    user[:, :3], total[:3] = np.nan, np.nan
    found = calibrate(total, user, planted, wanted=0.9)
    assert np.flatnonzero(np.isnan(found.p_wrong)).tolist() == [0, 1, 2]
    implied = found.precision.value * found.flagged / found.recall.value
    assert found.mislabelled.low <= implied <= found.mislabelled.high
    curve = found.curve
    assert (curve["precision"].diff().dropna() <= 1e-12).all()
    assert (curve["recall"].diff().dropna() >= 0).all()
    for name in ("precision", "recall"):
        assert (curve[f"{name}_low"] <= curve[name]).all()
        assert (curve[name] <= curve[f"{name}_high"]).all()
    assert len(curve) <= 102

"""Numbers from reviews and from planted flips, on rankings whose wrong labels are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import byheart
from byheart.auditing.calibration import Calibration, calibrate
from byheart.auditing.isotonic import strata_of
from byheart.auditing.reviews import draw_sample
from byheart.errors import InputError


def ranked(
    share: float, apart: float = 2.5, n: int = 3_000, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Return scores, labels, and which labels are wrong: their scores are higher on average."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < share
    return rng.normal(apart * wrong), rng.integers(0, 5, n), wrong


def reviewed(scores: np.ndarray, wrong: np.ndarray, n: int = 100, seed: int = 0) -> dict[int, bool]:
    order = np.argsort(-scores, kind="stable")
    return {int(i): bool(wrong[i]) for i in order[draw_sample(order, n, seed=seed)]}


def measured(share: float, n: int = 100, seed: int = 0) -> tuple[Calibration, np.ndarray]:
    scores, labels, wrong = ranked(share, seed=seed)
    return calibrate(scores, labels, reviews=reviewed(scores, wrong, n, seed)), wrong


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_intervals_hold_the_truth_about_as_often_as_they_say(share: float) -> None:
    hits = {"precision": 0, "recall": 0, "mislabelled": 0}
    for seed in range(20):
        found, wrong = measured(share, seed=seed)
        top = found.flagged
        truth = {
            "precision": wrong[top].mean(),
            "recall": wrong[top].sum() / wrong.sum(),
            "mislabelled": wrong.sum(),
        }
        for name, value in truth.items():
            interval = getattr(found, name)
            assert interval.low <= interval.value <= interval.high
            hits[name] += interval.low <= value + 1e-9 and value - 1e-9 <= interval.high
    # Of 20 at 90%, fewer than 14 would come by chance once in a hundred times.
    assert all(count >= 14 for count in hits.values()), hits


def test_more_reviews_give_narrower_intervals() -> None:
    widths = []
    for count in (40, 160, 640):
        found = [measured(0.1, count, seed)[0].mislabelled for seed in range(4)]
        widths.append(np.mean([estimate.high - estimate.low for estimate in found]))
    assert widths[1] < 0.7 * widths[0]
    assert widths[2] < 0.7 * widths[1]
    assert measured(0.1, 100)[0].further == 300


def test_a_list_that_is_assured_is_as_precise_as_was_asked_for() -> None:
    kept, broken = 0, 0
    for seed in range(20):
        scores, labels, wrong = ranked(0.15, seed=seed)
        found = calibrate(scores, labels, reviews=reviewed(scores, wrong, 100, seed), precision=0.8)
        kept += found.assured
        broken += found.assured and wrong[found.flagged].mean() < 0.8
    assert kept > 10
    assert broken <= 5


def test_without_a_sure_list_the_first_examples_are_listed() -> None:
    scores, labels, wrong = ranked(0.1, apart=0.5)
    found = calibrate(scores, labels, reviews=reviewed(scores, wrong), precision=0.95)
    assert not found.assured
    assert 20 < len(found.flagged) < 120
    assert found.precision.high < 0.95
    unknown = calibrate(scores, labels)
    assert 30 < len(unknown.flagged) < 80
    assert np.isnan([unknown.precision.value, unknown.mislabelled.high]).all()
    assert np.isnan(unknown.p_wrong).all()


def test_the_list_has_no_label_that_is_reviewed_as_right_and_all_that_are_wrong() -> None:
    scores, labels, wrong = ranked(0.2, apart=1.0)
    verdicts = reviewed(scores, wrong)
    found = calibrate(scores, labels, reviews=verdicts)
    listed = set(found.flagged.tolist())
    for i, verdict in verdicts.items():
        assert (i in listed) == verdict or not verdict
        assert i not in listed or verdict
        assert found.p_wrong[i] == verdict
    assert found.precision.value == pytest.approx(found.p_wrong[found.flagged].mean())
    assert found.mislabelled.value == pytest.approx(found.p_wrong.sum())
    assert (np.diff(found.p_wrong[found.flagged]) <= 0).all()
    precision, recall = found.of(found.flagged)
    assert (precision, recall) == (found.precision, found.recall)


def test_a_longer_list_is_less_precise_and_recalls_more() -> None:
    found, wrong = measured(0.2)
    curve = found.curve
    assert curve.index.tolist() == strata_of(len(wrong))[1:].tolist()
    assert (curve["precision"].diff().dropna() <= 1e-12).all()
    assert (curve["recall"].diff().dropna() >= -1e-12).all()
    assert curve["recall"].iloc[-1] == pytest.approx(1)
    for name in ("precision", "recall"):
        assert (curve[f"{name}_low"] <= curve[name] + 1e-12).all()
        assert (curve[name] <= curve[f"{name}_high"] + 1e-12).all()


def test_classes_are_counted_by_their_own_reviews() -> None:
    hits = []
    for seed in range(8):
        scores, labels, wrong = ranked(0.1, seed=seed)
        # All wrong labels are of two classes: ranks alone do not tell.
        labels = np.where(wrong, labels % 2, labels)
        found = calibrate(scores, labels, reviews=reviewed(scores, wrong, 100, seed)).by_class
        truth = np.array([wrong[labels == k].sum() for k in range(5)])
        assert found["examples"].tolist() == np.bincount(labels).tolist()
        hits += ((found["wrong_low"] <= truth) & (truth <= found["wrong_high"])).tolist()
    assert np.mean(hits) > 0.8


def test_unsure_counts_both_ways() -> None:
    scores, labels, wrong = ranked(0.1)
    verdicts: dict[int, str | bool] = dict(reviewed(scores, wrong))
    sure = calibrate(scores, labels, reviews=verdicts)
    for i in list(verdicts)[:12]:
        verdicts[i] = "unsure"
    unsure = calibrate(scores, labels, reviews=verdicts)
    ways = [
        calibrate(
            scores,
            labels,
            reviews={
                i: v == "unsure" if v == "unsure" and way else v is True
                for i, v in verdicts.items()
            },
        )
        for way in (False, True)
    ]
    assert unsure.mislabelled.low <= min(way.mislabelled.low for way in ways) + 1e-9
    assert unsure.mislabelled.high >= max(way.mislabelled.high for way in ways) - 1e-9
    spread = unsure.mislabelled.high - unsure.mislabelled.low
    assert spread > sure.mislabelled.high - sure.mislabelled.low


def test_two_reviewers_who_disagree_leave_an_example_open() -> None:
    scores, labels, wrong = ranked(0.1)
    first = reviewed(scores, wrong)
    second = {i: not v if k < 5 else v for k, (i, v) in enumerate(first.items()) if k < 40}
    found = calibrate(scores, labels, reviews=[first, second])
    assert found.reviews is not None
    assert (found.reviews.compared, found.reviews.disagreements) == (40, 5)
    assert found.reviews.count("unsure") == 5


def test_wrong_verdicts_would_change_the_number() -> None:
    found, wrong = measured(0.2)
    moved = found.if_reviewers_err(0.05)
    assert moved.value == pytest.approx((found.mislabelled.value - 0.05 * len(wrong)) / 0.9)
    assert measured(0.0)[0].if_reviewers_err(0.05).value == 0


def planted(n: int = 3_000, seed: int = 0) -> tuple[np.ndarray, byheart.Planted, np.ndarray]:
    """Return scores on planted labels, what was planted, and which labels are wrong."""
    rng = np.random.default_rng(seed)
    y, wrong = rng.integers(0, 5, n), rng.random(n) < 0.1
    belief = rng.dirichlet(np.ones(5), n)
    flips = byheart.plant(y, 0.06, "all", belief, seed=seed)
    is_flip = np.isin(np.arange(n), flips.ids)
    return rng.normal(3.0 * (wrong | is_flip)), flips, wrong & ~is_flip


def test_flips_that_rank_like_wrong_labels_bound_their_number() -> None:
    held = 0
    for seed in range(10):
        scores, flips, wrong = planted(seed=seed)
        found = calibrate(scores, flips.labels, planted=flips)
        assert found.kinds.index.tolist() == ["uniform", "confused", "ambiguous"]
        assert np.isnan(found.mislabelled.value)
        assert found.mislabelled.high < 0.25 * len(wrong)
        assert not np.isin(found.flagged, flips.ids).any()
        held += wrong.sum() <= found.mislabelled.high
    assert held == 10


def test_flips_of_one_kind_or_flips_that_rank_like_all_labels_bound_nothing() -> None:
    scores, flips, _ = planted()
    one = byheart.plant(flips.labels, 0.05)
    assert np.isnan(calibrate(scores, one.labels, planted=one).mislabelled.high)
    same = np.random.default_rng(0).normal(size=len(scores))
    assert np.isnan(calibrate(same, flips.labels, planted=flips).mislabelled.high)


def test_predicted_probabilities_are_a_ranking() -> None:
    _, labels, wrong = ranked(0.1)
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(5, 0.3), len(labels))
    probabilities[np.arange(len(labels)), labels] += 2.0 * ~wrong
    probabilities /= probabilities.sum(1, keepdims=True)
    found = calibrate(probabilities, labels)
    assert wrong[found.flagged].mean() > 0.9


LABELS = np.arange(30) % 3
SCORES = np.arange(30.0)
TEN = dict.fromkeys(range(10), True)


def rows(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"id": list(range(12)), "verdict": ["wrong"] * 12} | columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: calibrate(SCORES[:-1], LABELS), r"scores must be one per label, \[30\]"),
        (lambda: calibrate(np.where(SCORES == 3, np.nan, SCORES), LABELS), "first 3"),
        (lambda: calibrate(SCORES, LABELS / 2), "labels must be whole numbers"),
        (lambda: calibrate(SCORES, LABELS, precision=1), "precision must be above 0 and below 1"),
        (lambda: calibrate(SCORES, LABELS, reviews=TEN | {30: True}), "example 30: ids are"),
        (lambda: calibrate(SCORES, LABELS, reviews={0: True}), "of 1 labels: too few"),
        (lambda: calibrate(SCORES, LABELS, reviews=dict.fromkeys(TEN, "unsure")), "of 0 labels"),
        (lambda: calibrate(SCORES, LABELS, reviews=dict.fromkeys(TEN, "no")), "verdict 'no'"),
        (lambda: calibrate(SCORES, LABELS, reviews=[]), "reviews are empty"),
        (
            lambda: calibrate(
                SCORES, LABELS, reviews=rows(id=[0] * 12, verdict=["wrong", "right"] * 6)
            ),
            "two different verdicts on example 0",
        ),
        (
            lambda: calibrate(SCORES, LABELS, reviews=rows().drop(columns="verdict")),
            "no column 'verdict'",
        ),
        (
            lambda: calibrate(SCORES, LABELS, reviews="no/such.csv"),
            "cannot read reviews from no/such.csv",
        ),
        (lambda: calibrate(SCORES, LABELS, planted=byheart.plant(LABELS, 0.3)), "was changed back"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(change: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        change()

"""The share of wrong labels where it is known, and the exponential tail of right ones as well."""

import numpy as np
import pytest
from tests.reference import mixture as slow

from byheart.auditing.mixture import (
    ABOVE,
    BELOW,
    SURE,
    TAIL,
    Mixture,
    are_told_apart,
    binned,
    fit_mixture,
    fit_mixtures,
    in_bins,
)

TAIL_MEAN = 0.5


def drawn(share: float, n: int, m: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return which of n labels are wrong, their scores, and those of m planted flips.

    Right labels have an exponential tail: a twentieth of them is above 2, and half of those are
    above 2.35. Wrong ones are normal around 4.
    """
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < share
    right = 2 - TAIL_MEAN * np.log(20) + rng.exponential(TAIL_MEAN, n)
    return wrong, np.where(wrong, rng.normal(4, size=n), right), rng.normal(4, size=m)


def normal(apart: float, share: float, n: int, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(apart * (rng.random(n) < share)), rng.normal(apart, size=m)


def fit(user: np.ndarray, planted: np.ndarray) -> Mixture:
    return fit_mixture(in_bins(user, planted))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_share_converges_to_the_truth(share: float) -> None:
    wrong, user, planted = drawn(share, 100_000, 20_000, 0)
    found = fit(user, planted)
    assert found.share == pytest.approx(wrong.mean(), rel=0.02)
    assert found.decay == pytest.approx(TAIL_MEAN, rel=0.05)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_probability_of_being_wrong_is_that_of_bayes_rule(share: float) -> None:
    _, user, planted = drawn(share, 100_000, 50_000, 1)
    scores = np.linspace(1, 5, 17)
    wrong = share * np.exp(-((scores - 4) ** 2) / 2) / np.sqrt(2 * np.pi)
    right = (1 - share) * np.exp(-(scores - 2) / TAIL_MEAN) / 20 / TAIL_MEAN
    found = fit(user, planted).log_odds(scores)
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), wrong / (wrong + right), atol=0.05)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.4])
def test_normal_tails_are_near_enough_to_exponential_ones(share: float) -> None:
    found = [fit(*normal(4.0, share, 20_000, 2_000, seed)).share for seed in range(10)]
    assert np.mean(found) == pytest.approx(share, rel=0.05)


def test_without_wrong_labels_hardly_any_is_found() -> None:
    user, planted = normal(4.0, 0.0, 5_000, 200, 2)
    found = fit(user, planted)
    assert (1 / (1 + np.exp(-found.log_odds(user)))).sum() < 5


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_that_of_the_likelihood_as_it_is_written(seed: int) -> None:
    _, user, planted = drawn(0.15, 3_000, 300, seed)
    data = in_bins(user, planted)
    counts = data.user_counts(), data.planted_counts()
    share, decay = slow.separated(data, *counts)
    found = fit_mixture(data)
    high = counts[0][BELOW:].sum() / counts[0].sum() / (counts[1][BELOW:].sum() / 300)
    assert found.share == pytest.approx(share * high, rel=2e-3)
    assert found.decay == pytest.approx(decay, rel=5e-3)


def test_several_samples_are_fitted_as_each_by_itself() -> None:
    _, user, planted = drawn(0.2, 400, 60, 4)
    data, rng = in_bins(user, planted), np.random.default_rng(0)
    times = rng.integers(0, 3, (2, 400))
    flips = rng.integers(0, 60, (2, 60))
    users = np.stack([data.user_counts(one) for one in times])
    planteds = np.stack([data.planted_counts(one) for one in flips])
    surprise = np.array([-1.0, 2.0])
    both = fit_mixtures(data, users, planteds, surprise)
    for k in range(2):
        alone = fit_mixtures(data, users[k : k + 1], planteds[k : k + 1], surprise[k : k + 1])[0]
        assert both[k].share == pytest.approx(alone.share, abs=1e-3)
        assert both[k].decay == pytest.approx(alone.decay, rel=1e-3)
    assert both[0].decay < both[1].decay


def test_times_count_scores_that_often() -> None:
    _, user, planted = drawn(0.2, 400, 60, 4)
    data = in_bins(user, planted)
    times = np.random.default_rng(0).integers(0, 3, 400)
    bins = np.repeat(data.user, times)
    np.testing.assert_array_equal(
        data.user_counts(times), np.bincount(bins, minlength=BELOW + ABOVE)
    )


def test_bins_hold_equal_parts_of_both_kinds_together_on_either_side_of_the_threshold() -> None:
    _, user, planted = drawn(0.2, 4_000, 300, 5)
    data = in_bins(user, planted)
    mass = data.user_counts() / 4_000 + data.planted_counts() / 300
    for part in (mass[:BELOW], mass[BELOW:]):
        # One planted flip weighs a 300th: no bin can be more exact.
        np.testing.assert_allclose(part, part.mean(), atol=2 / 300)
    assert (np.diff(data.middle) > 0).all()
    assert data.edges[BELOW - 1] * data.scale + data.centre == pytest.approx(
        np.percentile(planted, TAIL)
    )


def test_a_higher_score_is_never_less_suspect() -> None:
    _, user, planted = drawn(0.1, 500, 40, 6)
    odds = fit(user, planted).log_odds(np.linspace(-5, 12, 500))
    assert (np.diff(odds) > 0).all()
    assert np.abs(odds).max() < -np.log(SURE) + 1


@pytest.mark.parametrize("apart", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_right_labels_that_are_no_tail_are_not_taken_for_wrong_ones(
    apart: float, share: float
) -> None:
    found = [fit(*normal(apart, share, 4_000, 200, seed)).share for seed in range(8)]
    assert np.mean(found) <= share + 0.15


def test_flips_that_rank_like_the_users_labels_tell_nothing() -> None:
    assert not are_told_apart(*normal(0.0, 0.1, 4_000, 200, 0))
    assert not are_told_apart(np.zeros(500), np.zeros(40))
    assert not are_told_apart(np.ones(500), np.zeros(40))
    assert not are_told_apart(np.zeros(0), np.zeros(40))
    assert are_told_apart(*normal(2.0, 0.5, 4_000, 200, 0))


@pytest.mark.parametrize(
    ("user", "planted"),
    [
        (np.zeros(50), np.ones(20)),
        (np.zeros(50), np.arange(20.0)),
        (np.repeat([0.0, 1.0], [45, 5]), np.ones(20)),
        (np.arange(3.0), np.arange(5.0, 25.0)),
        (np.full(60, 9.0), np.arange(20.0)),
    ],
)
def test_ties_and_scores_apart_are_fitted_without_a_warning(
    user: np.ndarray, planted: np.ndarray
) -> None:
    found = fit(user, planted)
    assert 0 <= found.share <= 1
    assert np.isfinite(found.log_odds(np.array([-100.0, 0.0, 0.5, 100.0]))).all()


def test_a_threshold_above_all_of_the_users_scores_leaves_no_wrong_label() -> None:
    rng = np.random.default_rng(0)
    user, planted = rng.normal(size=500), rng.normal(30, size=50)
    assert fit_mixture(binned(user, planted, float(planted.min()))).share < 0.01

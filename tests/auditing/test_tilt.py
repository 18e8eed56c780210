"""The share of wrong labels where it is known: two normal distributions are tilts of each other."""

import numpy as np
import pytest
from tests.reference import tilt as slow

from byheart.auditing.tilt import BINS, binned, fit_tilt


def drawn(share: float, apart: float, n: int, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of n examples, a share of them wrong, and of m planted flips."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < share
    return rng.normal(apart * wrong), rng.normal(apart, size=m)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_share_converges_to_the_truth(share: float) -> None:
    user, planted = drawn(share, 4.0, 100_000, 20_000, 0)
    assert fit_tilt(binned(user, planted)).share == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_probability_of_being_wrong_is_that_of_bayes_rule(share: float) -> None:
    user, planted = drawn(share, 3.0, 100_000, 50_000, 1)
    scores = np.linspace(-1, 4, 11)
    odds = share / (1 - share) * np.exp(3.0 * scores - 4.5)
    found = fit_tilt(binned(user, planted)).wrong(scores)
    np.testing.assert_allclose(found, odds / (1 + odds), atol=0.05)


def test_without_wrong_labels_hardly_any_is_found() -> None:
    user, planted = drawn(0.0, 4.0, 5_000, 200, 2)
    tilt = fit_tilt(binned(user, planted))
    assert tilt.wrong(user).sum() < 5


def test_the_fit_is_that_of_scores_one_by_one() -> None:
    user, planted = drawn(0.15, 3.5, 3_000, 300, 3)
    share, scores = fit_tilt(binned(user, planted)), np.linspace(0, 4, 9)
    np.testing.assert_allclose(
        share.wrong(scores), slow.wrong(slow.fit(user, planted), user, planted, scores), atol=0.02
    )


def test_weights_count_scores_that_often() -> None:
    user, planted = drawn(0.2, 3.0, 400, 60, 4)
    times = np.random.default_rng(0).integers(0, 3, 400)
    flips = np.random.default_rng(1).integers(0, 3, 60)
    data = binned(user, planted)
    again = slow.repeated(data, times, flips)
    weighed = fit_tilt(data, times.astype(float), flips.astype(float))
    assert weighed.share == pytest.approx(fit_tilt(again).share, abs=1e-3)


def test_bins_hold_equal_parts_of_both_kinds_together() -> None:
    user, planted = drawn(0.2, 3.0, 4_000, 300, 5)
    data = binned(user, planted)
    mass = np.bincount(data.user, minlength=BINS) / 4_000
    mass += np.bincount(data.planted, minlength=BINS) / 300
    # One planted flip weighs a 600th: no bin can be more exact.
    np.testing.assert_allclose(mass / 2, 1 / BINS, atol=1 / 600)
    assert (np.diff(data.middle) > 0).all()

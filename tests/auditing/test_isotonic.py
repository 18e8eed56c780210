"""Estimates from reviewed labels in strata, against a slow twin and against known truths."""

import numpy as np
import pytest
from tests.reference import isotonic as slow

from byheart.auditing.isotonic import DROP, STRATA, Reviewed, likeliest, strata_of

CASES = (
    ([3, 2, 1], [3, 4, 5]),
    ([5, 1, 3, 0], [5, 5, 5, 5]),
    ([0, 0, 0], [4, 4, 10]),
    ([4, 4], [4, 4]),
    ([1, 3, 2, 0, 1], [2, 5, 6, 4, 8]),
)


@pytest.mark.parametrize(("wrong", "reviewed"), CASES)
@pytest.mark.parametrize("tilt", [0.0, 2.0, -3.0])
def test_the_likeliest_chances_are_those_of_a_general_optimiser(
    wrong: list[int], reviewed: list[int], tilt: float
) -> None:
    k, n = np.array(wrong, float), np.array(reviewed, float)
    t = tilt * np.linspace(0.5, 1, len(k))
    found = likeliest(k, n, t)
    assert (np.diff(found) <= 1e-12).all()
    np.testing.assert_allclose(found, slow.likeliest(k, n, t), atol=2e-3)


@pytest.mark.parametrize(("wrong", "reviewed"), CASES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_ends_of_a_sum_are_those_of_a_general_optimiser(
    wrong: list[int], reviewed: list[int], sign: int
) -> None:
    k, n = np.array(wrong, float), np.array(reviewed, float)
    weights = np.linspace(1, 10, len(k))
    found = Reviewed(k, n).extremes(weights[None], sign)[0][0]
    assert found == pytest.approx(slow.extreme(k, n, weights, sign, DROP), rel=0.03, abs=0.03)


def test_a_ratio_lies_between_its_ends_and_reaches_both() -> None:
    reviews = Reviewed(np.array([5.0, 2.0, 0.0]), np.array([5.0, 5.0, 5.0]))
    rest = np.array([3.0, 40.0, 200.0])
    part = rest * np.array([1, 1, 0])
    low, high = reviews.ratios(part[None], np.array([7.0]), rest, 7.0)
    assert 0.1 < low[0] < 0.9 < high[0] == pytest.approx(1, abs=3e-3)


def test_strata_without_reviews_are_known_only_by_their_neighbours() -> None:
    chance = likeliest(np.array([4.0, 0.0, 1.0]), np.array([5.0, 0.0, 5.0]), np.zeros(3))
    assert chance.tolist() == pytest.approx([0.8, 0.5, 0.2])
    empty = Reviewed(np.array([5.0, 0.0]), np.array([5.0, 0.0]))
    weights = np.array([[0.0, 100.0]])
    assert empty.extremes(weights, -1)[0][0] == pytest.approx(0, abs=1)
    assert empty.extremes(weights, 1)[0][0] == pytest.approx(100, abs=1)


def test_a_stratum_without_wrong_labels_still_has_an_upper_end() -> None:
    none = Reviewed(np.zeros(4), np.full(4, 5.0))
    assert none.chance.tolist() == [0, 0, 0, 0]
    high = none.extremes(np.full((1, 4), 25.0), 1)[0][0]
    # 2 * 20 log(1 - p) = -3.3 if all are alike.
    assert high == pytest.approx(100 * (1 - np.exp(-DROP / 40)), rel=0.02)


@pytest.mark.parametrize("examples", [40, 57, 3_000])
def test_strata_hold_every_example_and_are_narrow_at_the_top(examples: int) -> None:
    bounds = strata_of(examples)
    assert (bounds[0], bounds[-1]) == (0, examples)
    assert len(bounds) <= STRATA + 1
    assert (np.diff(bounds) > 0).all()
    assert np.diff(bounds)[0] < examples / 20 < np.diff(bounds)[-1]

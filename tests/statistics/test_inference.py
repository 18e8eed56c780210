"""Interval, p value and multiplicity, against their definitions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference.statistics import slow_bca_interval, slow_holm, slow_sign_flip_p

from byheart.statistics import inference
from byheart.statistics.inference import EXACT_UP_TO, bca_interval, holm, sign_flip_p

ALTERNATIVES = ("two-sided", "greater", "less")
EIGHTHS = st.integers(-40, 40).map(lambda k: Fraction(k, 8))
P_VALUES = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8)
SKEWED = np.random.default_rng(4).lognormal(size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(EIGHTHS, min_size=1, max_size=8), EIGHTHS, st.sampled_from(ALTERNATIVES))
def test_p_equals_the_count_over_all_sign_patterns(
    values: list[Fraction], null: Fraction, alternative: str
) -> None:
    found = sign_flip_p([float(v) for v in values], null=float(null), alternative=alternative)
    assert found == slow_sign_flip_p(values, null, alternative)


def test_ties_count_in_spite_of_rounding() -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in floating point; all eight patterns but two are as extreme.
    tenths = [Fraction(1, 10), Fraction(2, 10), Fraction(3, 10)]
    for flips in ((1, 1, 1), (1, 1, -1), (-1, 1, -1)):
        exact = [sign * value for sign, value in zip(flips, tenths, strict=True)]
        for alternative in ALTERNATIVES:
            found = sign_flip_p([float(v) for v in exact], alternative=alternative)
            assert found == slow_sign_flip_p(exact, Fraction(0), alternative)


@pytest.mark.parametrize("n", [3, 6, 10, EXACT_UP_TO])
def test_the_smallest_p_is_one_pattern_of_all(n: int) -> None:
    values = np.linspace(1, 2, n)
    assert sign_flip_p(values, alternative="greater") == 2.0**-n
    assert sign_flip_p(values) == 2.0 ** (1 - n)
    assert sign_flip_p(values, alternative="less") == 1.0


def test_values_at_the_null_say_nothing() -> None:
    assert sign_flip_p([0.3] * 5, null=0.3) == 1.0


def test_halves_count_the_patterns_that_an_enumeration_counts() -> None:
    values = np.round(np.random.default_rng(0).normal(0.4, 1, 18), 2)
    sums = np.array(list(itertools.product((1, -1), repeat=18))) @ values
    for alternative, tail in (("greater", sums), ("less", -sums), ("two-sided", np.abs(sums))):
        observed = values.sum() * (-1 if alternative == "less" else 1)
        assert sign_flip_p(values, alternative=alternative) == np.mean(tail >= observed - 1e-9)


def test_above_the_exact_range_random_patterns_come_close_to_the_exact_p(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).normal(0.4, 1, EXACT_UP_TO)
    exact = sign_flip_p(values)
    monkeypatch.setattr(inference, "EXACT_UP_TO", 4)
    sampled = sign_flip_p(values)
    assert sampled == sign_flip_p(values)
    assert sampled == pytest.approx(exact, abs=4 * np.sqrt(2 * exact / inference.PATTERNS))


def test_random_patterns_never_give_p_zero() -> None:
    assert sign_flip_p(np.ones(40)) == 2 / (inference.PATTERNS + 1)


@given(P_VALUES)
@example([0.03, 0.04])
@example([0.01, 0.01, 0.01])
def test_adjusted_p_is_the_smallest_alpha_at_which_holm_rejects(p_values: list[float]) -> None:
    adjusted, _ = holm(p_values)
    assert adjusted.tolist() == pytest.approx(slow_holm(p_values))


@given(P_VALUES)
@example([0.03, 0.04])
def test_a_corrected_interval_and_its_adjusted_p_agree(p_values: list[float]) -> None:
    adjusted, levels = holm(p_values)
    for p, p_holm, level in zip(p_values, adjusted, levels, strict=True):
        slack = 1e-9
        assert (p_holm <= 0.05 + slack) >= (p <= 1 - level - slack)
        assert (p_holm > 0.05 - slack) >= (p > 1 - level + slack)


@given(P_VALUES, st.randoms())
def test_the_order_of_the_claims_does_not_matter(p_values: list[float], random) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)
    adjusted, _ = holm(p_values)
    shuffled, _ = holm([p_values[i] for i in order])
    assert shuffled.tolist() == [adjusted[i] for i in order]


def test_one_claim_alone_is_not_corrected() -> None:
    adjusted, levels = holm([0.04])
    assert adjusted.tolist() == [0.04]
    assert levels.tolist() == [0.95]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("values", [SKEWED, np.arange(10.0) ** 2, -SKEWED])
def test_the_bca_interval_equals_its_slow_twin(values: np.ndarray, level: float) -> None:
    spread = float(np.std(values))
    found, slow = bca_interval(values, level=level), slow_bca_interval(values.tolist(), level)
    assert found == pytest.approx(slow, abs=0.05 * spread)


def test_the_interval_of_skewed_values_is_skewed_with_them() -> None:
    low, high = bca_interval(SKEWED)
    mean = float(SKEWED.mean())
    assert high - mean > 1.2 * (mean - low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "RESAMPLES", 499)
    rng = np.random.default_rng(0)
    runs, covered = 400, 0
    for run in range(runs):
        low, high = bca_interval(rng.normal(3, 2, 30), name=str(run))
        covered += low <= 3 <= high
    assert 0.90 <= covered / runs <= 0.98


def test_equal_names_give_equal_intervals_and_other_names_other_draws() -> None:
    assert bca_interval(SKEWED, name="a") == bca_interval(SKEWED, name="a")
    assert bca_interval(SKEWED, name="a") != bca_interval(SKEWED, name="b")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 2.0]), min_size=2, max_size=6))
@example([0.3, 0.1 + 0.2])
@example([1.0, 0.0, 0.0])
def test_the_interval_holds_the_mean_whatever_the_ties(values: list[float]) -> None:
    low, high = bca_interval(values)
    slack = 1e-12
    assert min(values) - slack <= low <= np.mean(values) + slack
    assert np.mean(values) - slack <= high <= max(values) + slack


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf]])
def test_values_that_cannot_be_averaged_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match=r"needs a list of at least 2|every value must be finite"):
        bca_interval(values)


def test_a_missing_value_must_be_counted_not_tested() -> None:
    with pytest.raises(ValueError, match="leave out and count the seeds that gave none"):
        sign_flip_p([0.1, np.nan])

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from tests.reference.gini import slow_gini

import byheart
from byheart.errors import InputError
from byheart.statistics.gini import gini

amounts = st.lists(st.floats(0, 1e308), min_size=1, max_size=30)


@given(amounts)
def test_sorting_gives_what_the_sum_over_all_pairs_gives(values: list[float]) -> None:
    assert gini(values) == pytest.approx(slow_gini(values), rel=1e-12, abs=1e-14)


@given(amounts)
def test_it_lies_between_all_equal_and_one_holds_everything(values: list[float]) -> None:
    assert 0 <= gini(values) <= (len(values) - 1) / len(values)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.floats(1e-6, 1e6))
def test_the_unit_does_not_matter(values: list[float], unit: float) -> None:
    assert gini(np.array(values) * unit) == pytest.approx(gini(values), abs=1e-12)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.integers(2, 5))
def test_copies_of_a_population_are_as_uneven_as_the_population(
    values: list[float], copies: int
) -> None:
    assert gini(values * copies) == pytest.approx(gini(values), abs=1e-12)


@given(st.permutations([0.0, 1.0, 1.0, 4.0, 9.5]))
def test_the_order_does_not_matter(values: list[float]) -> None:
    assert gini(values) == pytest.approx(slow_gini([0.0, 1.0, 1.0, 4.0, 9.5]), abs=1e-15)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_the_two_ends_of_the_scale_are_exact(n: int) -> None:
    assert gini([0.3] * n) == 0.0
    assert gini([0.0] * n) == 0.0
    assert gini([0.0] * (n - 1) + [5.0]) == (n - 1) / n


def test_evenly_spaced_values_give_a_third() -> None:
    n = 1000
    assert gini(np.arange(1, n + 1)) == pytest.approx((n - 1) / (3 * n), rel=1e-12)


def test_an_exponential_sample_converges_to_one_half() -> None:
    draws = np.random.default_rng(0).exponential(size=200_000)
    assert gini(draws) == pytest.approx(0.5, abs=0.005)


def test_the_largest_and_smallest_floats_do_not_overflow_or_vanish() -> None:
    assert gini([0.0, 1.7e308, 1.7e308]) == pytest.approx(1 / 3)
    assert gini([0.0, 5e-324, 5e-324]) == pytest.approx(1 / 3)


def test_tensors_arrays_and_lists_are_all_read() -> None:
    values = [0.0, 1.0, 3.0]
    assert gini(torch.tensor(values)) == gini(np.array(values, dtype=np.float32)) == gini(values)
    assert byheart.gini(values) == gini(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "n >= 1"),
        (3.0, "one-dimensional"),
        ([[1.0, 2.0]], "one-dimensional"),
        (["a"], "numbers"),
        ([1 + 2j], "numbers"),
        ([1.0, -0.5], "0 or more, got -0.5"),
        ([1.0, math.nan], "NaN or infinity"),
        ([1.0, math.inf], "NaN or infinity"),
        ([[1.0], [1.0, 2.0]], "numpy can read"),
        (torch.ones(3, requires_grad=True), "without gradients"),
    ],
)
def test_unusable_values_are_refused_in_one_line(values: ArrayLike, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        gini(values)
    assert "\n" not in str(refused.value)

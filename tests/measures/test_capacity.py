"""The smallest sufficient width against its slow twin, and what noise does to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import capacity as twin

from byheart.errors import InputError
from byheart.measures.capacity import accuracy_at, sufficient_width

WIDTHS = np.array([8.0, 16.0, 32.0, 64.0, 128.0])
accuracies = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@settings(max_examples=25, deadline=None)
@given(accuracies, st.sampled_from([0.0, 0.01, 0.1]))
def test_it_is_where_the_slow_twin_finds_it(curve: list[float], margin: float) -> None:
    [fast] = sufficient_width(WIDTHS, np.array([curve]), margin=margin)
    slow = twin.sufficient_width(WIDTHS.tolist(), curve, margin)
    if fast != pytest.approx(slow, rel=5e-3):
        # Where the curve is flat to rounding, a step of the twin may fall anywhere on it.
        fit = np.array([twin.rising_fit(curve)])
        at = [accuracy_at(WIDTHS, fit, np.array([width]))[0] for width in (fast, slow)]
        assert at[0] == pytest.approx(at[1], abs=1e-9)


@given(accuracies, st.floats(0, 0.2), st.floats(-0.5, 0.5))
def test_it_lies_on_the_grid_and_shifts_with_nothing(
    curve: list[float], margin: float, shift: float
) -> None:
    both = np.array([curve, np.add(curve, shift).tolist()])
    plain, shifted = sufficient_width(WIDTHS, both, margin=margin + 1e-6)
    assert WIDTHS[0] <= plain <= WIDTHS[-1]
    fit = np.array([twin.rising_fit(curve)])
    levels = accuracy_at(WIDTHS, np.repeat(fit, 2, axis=0), np.array([plain, shifted]))
    assert levels[0] == pytest.approx(levels[1], abs=1e-9)


def test_a_straight_rise_and_a_plateau_have_widths_that_can_be_written_down() -> None:
    # 10 points per octave up to the third width: one point below the top is a tenth of an octave.
    rise = np.array([[0.5, 0.6, 0.7, 0.7, 0.7]])
    np.testing.assert_allclose(sufficient_width(WIDTHS, rise), 32 * 2**-0.1)
    np.testing.assert_allclose(sufficient_width(WIDTHS, np.full((1, 5), 0.3)), 8)


def test_a_curve_with_a_gap_has_no_width() -> None:
    gap = np.array([[0.1, np.nan, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
    assert np.isnan(sufficient_width(WIDTHS, gap)).tolist() == [True, False]


def test_accuracy_between_two_widths_is_linear_in_the_logarithm() -> None:
    curves = np.array([[0.0, 0.2, 0.4, 0.6, 0.8], [0.0, 0.2, 0.4, 0.6, 0.8]])
    at = accuracy_at(WIDTHS, curves, np.array([16 * 2**0.5, 1000.0]))
    np.testing.assert_allclose(at, [0.3, 0.8])


@pytest.mark.parametrize("widths", [[8.0], [8.0, 8.0], [16.0, 8.0], [0.0, 8.0]])
def test_widths_that_are_no_grid_are_refused(widths: list[float]) -> None:
    with pytest.raises(InputError, match=r"give at least two, ascending"):
        sufficient_width(np.array(widths), np.zeros((1, len(widths))))


def test_curves_of_another_grid_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \[2, 4\] but there are 5 widths"):
        sufficient_width(WIDTHS, np.zeros((2, 4)))

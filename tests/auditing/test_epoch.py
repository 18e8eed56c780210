"""What is kept of logits, against sums by hand, at both ends of the numbers there are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import audit as slow

from byheart.auditing.epoch import halved, observe


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_margin_loss_and_rival_equal_their_slow_twins(classes: int) -> None:
    rng = np.random.default_rng(classes)
    z = (rng.normal(size=(200, classes)) * rng.choice([0.1, 1, 10], (200, 1))).astype(np.float32)
    y = rng.integers(0, classes, 200)
    found = observe(z, y)
    for row, (one, label) in enumerate(zip(z.astype(float).tolist(), y.tolist(), strict=True)):
        others = [k for k in range(classes) if k != label]
        assert found.margin[row] == pytest.approx(slow.margin(one, label), rel=1e-5, abs=1e-6)
        assert found.loss[row] == pytest.approx(slow.loss(one, label), rel=1e-4, abs=1e-9)
        assert found.alternative[row] == max(others, key=lambda k: one[k])
        weight = slow.probability(one, int(found.alternative[row]))
        assert found.probability[row] == pytest.approx(weight, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("lead", "loss"), [(30.0, math.exp(-30)), (-30.0, 30.0), (0.0, math.log(2))]
)
def test_a_loss_is_exact_where_the_network_is_sure(lead: float, loss: float) -> None:
    found = observe(np.array([[lead, 0.0]], np.float32), np.array([0]))
    assert found.loss[0] == pytest.approx(loss, rel=1e-6)


def test_logits_that_differ_by_all_there_is_give_finite_numbers() -> None:
    huge = np.finfo(np.float32).max / 4
    found = observe(np.array([[huge, -huge], [-huge, huge]], np.float32), np.array([0, 0]))
    assert np.isfinite(found.loss).all()
    assert np.isfinite(halved(found.margin)).all()
    assert found.probability.tolist() == [0.0, 1.0]


def test_a_tie_is_no_classification() -> None:
    assert observe(np.zeros((1, 3), np.float32), np.array([0])).margin[0] == 0


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounding_to_half_keeps_the_sign_of_every_number(value: float) -> None:
    half = halved(np.array([value], np.float32))[0]
    assert np.isfinite(half)
    assert np.sign(half) == np.sign(np.float32(value))


def test_rounding_to_half_keeps_gaps_and_three_digits() -> None:
    half = halved(np.array([np.nan, 12.345, -0.012345], np.float32))
    assert np.isnan(half[0])
    np.testing.assert_allclose(half[1:].astype(float), [12.345, -0.012345], rtol=2**-11)

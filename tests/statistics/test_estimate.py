"""Student's interval of a mean over seeds."""

import numpy as np
import pytest
from scipy import stats

from byheart.statistics.estimate import student_estimate


def test_the_interval_is_students() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.25])
    found = student_estimate(values)
    wanted = stats.t.interval(0.9, 3, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(wanted)


def test_seeds_that_agree_know_their_mean_to_one_example_over_the_root_of_their_number() -> None:
    found = student_estimate(np.zeros(4), smallest_step=0.02)
    assert found.high == pytest.approx(stats.t.ppf(0.95, 3) * 0.02 / 2)


def test_one_missing_value_leaves_no_estimate() -> None:
    assert np.isnan(student_estimate(np.array([0.1, np.nan, 0.2])).value)

"""What brackets say of a statistic: its range, on the chart and in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.statistics.decide import decide
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.conditions import extremes, mean_points
from byheart.studies.judging import _certainty

NUMBERS = st.floats(-3, 3)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_every_truth_inside_the_brackets_gives_a_sum_in_the_range(
    cases: list[tuple[float, float, float, float]],
) -> None:
    weights, lower, width, share = (np.array(column) for column in zip(*cases, strict=True))
    upper = lower + width
    low, high = extremes(weights, lower[None], upper[None])
    value = (weights * np.clip(lower + share * width, lower, upper)).sum()
    assert low[0] - 1e-9 <= value <= high[0] + 1e-9
    ends = [np.where(weights > 0, a, b) @ weights for a, b in ((lower, upper), (upper, lower))]
    assert (low[0], high[0]) == (pytest.approx(ends[0]), pytest.approx(ends[1]))


def test_bounds_of_what_has_no_weight_need_not_be_known() -> None:
    weights = np.array([[0.0, 1.0], [1.0, 0.0]])
    upper = np.array([[np.nan, 0.5], [np.nan, 0.5]])
    low, high = extremes(weights, np.full((2, 2), 0.25), upper)
    assert (low[0], high[0]) == (0.25, 0.5)
    assert np.isnan(high[1])


def test_a_point_carries_the_mean_upper_bound_where_there_is_one() -> None:
    lower = np.array([[0.1, 0.2], [0.3, 0.4], [np.nan, np.nan]])
    upper = np.array([[np.nan, 0.3], [np.nan, 0.7], [np.nan, np.nan]])
    first, second = mean_points("", "s", (1, 2), lower, upper=upper)
    assert first.upper is None
    assert (second.y, second.upper) == (pytest.approx(0.3), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("low", "words"),
    [(1.5, "the same whatever the truth"), (-1.0, "0 of 1 criteria"), (None, "")],
)
def test_a_finding_says_in_words_whether_its_verdict_would_stand(
    low: float | None, words: str
) -> None:
    rule, noise = Rule((Criterion("c", "above", 1.0),)), np.linspace(-0.3, 0.3, 10)
    bounds = {} if low is None else {"c": (low + noise, 3.0 + noise)}
    judgement = decide([("claim", rule, Evidence({"c": 2.0 + noise}, bounds=bounds))])[0]
    assert judgement.verdict == "supported"
    said = _certainty(rule, judgement)
    assert words in said if words else said == ""

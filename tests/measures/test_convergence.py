"""Time to convergence as survival data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.survival import slow_kaplan_meier

from byheart.measures.convergence import kaplan_meier, restricted

RUNS = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=12)


@given(RUNS)
def test_the_curve_equals_its_slow_twin(runs: list[tuple[int, bool]]) -> None:
    epochs, converged = zip(*runs, strict=True)
    found, slow = kaplan_meier(epochs, converged), slow_kaplan_meier(epochs, converged)
    assert found.time.tolist() == [time for time, _ in slow]
    assert found.surviving.tolist() == pytest.approx([float(level) for _, level in slow])


def test_the_textbook_example_comes_out() -> None:
    # The 6-MP arm of Freireich et al. (1963): weeks to relapse, and who was censored.
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    plus = {3, 5, 7, 8, 11, 12, 13, 16, 17, 18, 19, 20}
    found = kaplan_meier(times, [i not in plus for i in range(len(times))])
    assert found.time.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert found.surviving.tolist() == pytest.approx(
        [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4
    )
    assert found.median == 23


def test_a_censored_run_is_neither_missing_nor_converged() -> None:
    censored = kaplan_meier([4, 10, 10], [True, False, False])
    assert censored.surviving.tolist() == pytest.approx([2 / 3])
    assert censored.median == np.inf


def test_the_median_is_the_first_epoch_by_which_half_have_converged() -> None:
    assert kaplan_meier([2, 4, 6, 8], [True] * 4).median == 4


def test_restricted_mean_is_the_area_under_the_curve_up_to_the_budget() -> None:
    rng, budget = np.random.default_rng(0), 30
    times = rng.integers(1, 60, size=200)
    epochs, converged = np.minimum(times, budget), times <= budget
    curve = kaplan_meier(epochs, converged)
    edges = np.concatenate([[0], curve.time, [budget]])
    area = float(np.sum(np.diff(edges) * np.concatenate([[1], curve.surviving])))
    assert restricted(epochs, budget).mean() == pytest.approx(area)


@given(RUNS, st.integers(1, 12))
def test_the_restricted_time_never_exceeds_the_budget(
    runs: list[tuple[int, bool]], budget: int
) -> None:
    epochs = [epoch for epoch, _ in runs]
    assert restricted(epochs, budget).tolist() == [min(epoch, budget) for epoch in epochs]


@pytest.mark.parametrize(
    ("epochs", "converged"), [([], []), ([1, 2], [True]), ([[1, 2]], [[True, False]])]
)
def test_shapes_that_do_not_fit_are_named(epochs: list, converged: list) -> None:
    with pytest.raises(ValueError, match=r"needs epochs \[K\] and converged \[K\]"):
        kaplan_meier(epochs, converged)

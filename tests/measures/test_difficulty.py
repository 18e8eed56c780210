"""P(correct) and its over-dispersion, against sums by hand and worlds with a known answer."""

import numpy as np
import pytest
from tests.reference.difficulty import (
    shuffled_within_runs_and_classes,
    slow_over_dispersion,
    slow_within_classes,
)

from byheart.measures.difficulty import difficulty

LABELS = np.repeat(np.arange(4), [12, 10, 9, 1])


def drawn(p: np.ndarray, runs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((runs, len(p))) < p


@pytest.mark.parametrize("seed", range(5))
def test_both_ratios_equal_their_slow_twins(seed: int) -> None:
    hard = np.random.default_rng(seed).beta(2, 3, len(LABELS))
    correct = drawn(hard, 7, seed)
    found = difficulty(correct, LABELS)
    assert found.over_dispersion == pytest.approx(slow_over_dispersion(correct.tolist()))
    assert found.within_classes == pytest.approx(
        slow_within_classes(correct.tolist(), LABELS.tolist())
    )
    np.testing.assert_allclose(found.p_correct, [np.mean(column) for column in correct.T])


def test_equally_hard_examples_give_a_spread_within_classes_of_exactly_one_on_average() -> None:
    rng = np.random.default_rng(0)
    correct = drawn(rng.beta(1, 1, len(LABELS)), 20)
    assert difficulty(correct, LABELS).within_classes > 2
    shuffled = [
        difficulty(shuffled_within_runs_and_classes(correct, LABELS, rng), LABELS).within_classes
        for _ in range(3000)
    ]
    standard_error = np.std(shuffled) / np.sqrt(len(shuffled))
    assert abs(np.mean(shuffled) - 1) < 4 * standard_error
    assert standard_error < 0.01


@pytest.mark.parametrize("a", [0.5, 2.0, 8.0])
def test_a_planted_spread_is_recovered(a: float) -> None:
    # Difficulties from a symmetric beta: Var(p) = 1 / (4 (2a + 1)), so the ratio over K runs is
    # 1 + (K - 1) Var(p) / (1/4).
    runs, labels = 50, np.repeat(np.arange(5), 2000)
    hard = np.random.default_rng(1).beta(a, a, len(labels))
    found = difficulty(drawn(hard, runs), labels)
    truth = 1 + (runs - 1) / (2 * a + 1)
    assert found.over_dispersion == pytest.approx(truth, rel=0.05)
    assert found.within_classes == pytest.approx(truth, rel=0.05)


def test_a_network_that_knows_only_the_commonest_class_finds_no_example_easy() -> None:
    # In each run one class is right altogether, most often class 0: between classes P(correct)
    # differs widely, within a class not at all.
    rng = np.random.default_rng(3)
    guess = rng.choice(3, size=200, p=[0.6, 0.2, 0.2])
    labels = np.repeat(np.arange(3), 50)
    found = difficulty(guess[:, None] == labels, labels)
    assert found.over_dispersion > 10
    assert np.isnan(found.within_classes)


@pytest.mark.parametrize("answer", [True, False])
def test_there_is_no_ratio_where_no_spread_is_possible(answer: bool) -> None:
    found = difficulty(np.full((4, 6), answer), np.arange(6) % 2)
    assert np.isnan([found.over_dispersion, found.within_classes]).all()


@pytest.mark.parametrize(
    ("correct", "labels"),
    [
        (np.ones((1, 5), bool), np.zeros(5, int)),
        (np.ones((5, 1), bool), np.zeros(1, int)),
        (np.ones((5, 4), bool), np.zeros(3, int)),
        (np.ones(5, bool), np.zeros(5, int)),
    ],
)
def test_shapes_that_do_not_fit_are_named(correct: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"needs correct \[K, N\] and labels \[N\]"):
        difficulty(correct, labels)

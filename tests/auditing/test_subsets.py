"""Memorization and influence, against their slow twins and against what is true by construction."""

from functools import partial

import numpy as np
import pytest
from tests.auditing.networks import small
from tests.reference import subsets as slow

import byheart
from byheart.auditing import subsets
from byheart.auditing.subsets import SHARE, estimate, train_on_subsets
from byheart.auditing.training import train_runs
from byheart.training.recipe import Recipe

TRAININGS, EXAMPLES = 12, 15


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inside = rng.random((TRAININGS, EXAMPLES)) < SHARE
    inside[:, 3], inside[:, 4] = True, False
    labels = rng.integers(0, 3, EXAMPLES)
    labels[0] = 3
    return inside, rng.random((TRAININGS, EXAMPLES)) < 0.6, labels


@pytest.mark.parametrize("chunk", [2, 256])
def test_every_estimate_equals_its_slow_twin(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(subsets, "CHUNK", chunk)
    inside, correct, labels = drawn()
    found = estimate(inside, correct, labels)
    for x in range(EXAMPLES):
        own = slow.influence(inside.tolist(), correct.tolist(), x, x)
        assert (found["memorization"][x], found["memorization_error"][x]) == pytest.approx(
            own, nan_ok=True
        )
        _, effect, error = slow.most(inside.tolist(), correct.tolist(), labels.tolist(), x)
        assert found["influence"][x] == pytest.approx(effect, nan_ok=True)
        by = found["influenced_by"][x]
        if by < 0:
            assert np.isnan([effect, error, found["influence"][x]]).all()
            continue
        # Of equal effects, either may be named.
        named = slow.influence(inside.tolist(), correct.tolist(), int(by), x)
        assert (found["influence"][x], found["influence_error"][x]) == pytest.approx(named)
        assert labels[by] == labels[x]


def test_an_example_that_every_training_had_has_no_estimate() -> None:
    inside, correct, labels = drawn()
    found = estimate(inside, correct, labels)
    assert np.isnan(found["memorization"][[3, 4]]).all()
    assert np.isnan(found["memorization_error"][[3, 4]]).all()
    assert not set(found["influenced_by"]) & {3, 4}


def test_an_example_alone_in_its_class_is_influenced_by_none() -> None:
    assert estimate(*drawn())["influenced_by"][0] == -1


def test_what_is_right_only_when_trained_on_is_memorized_and_its_twin_is_found() -> None:
    rng = np.random.default_rng(1)
    inside = rng.random((200, 6)) < SHARE
    correct = np.ones((200, 6), bool)
    correct[:, 0] = inside[:, 0]
    correct[:, 1] = inside[:, 1] | inside[:, 2]
    found = estimate(inside, correct, np.zeros(6, np.int64))
    assert found["memorization"][0] == 1
    assert found["memorization"][5] == 0
    assert found["influenced_by"][1] == 2
    assert found["memorization"][1] == pytest.approx(1 - SHARE, abs=0.1)


def test_trainings_on_subsets_memorize_wrong_labels_and_share_the_right_ones() -> None:
    data = byheart.corrupt(byheart.load_dataset("digits", size=300), labels=0.1, seed=0)
    train = partial(
        train_runs,
        small,
        data,
        recipe=Recipe(
            epochs=40,
            learning_rate=0.1,
            momentum=0.9,
            batch_size=32,
            schedule="constant",
            device="cpu",
        ),
    )
    found = train_on_subsets(train, data, "cpu", count=20, seed=0)
    wrong = (data.y != data.clean_y).numpy()
    known = ~np.isnan(found["memorization"])
    assert found["memorization"][known & wrong].mean() > 0.6
    assert found["memorization"][known & ~wrong].mean() < 0.3

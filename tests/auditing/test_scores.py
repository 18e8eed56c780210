"""Scores against their slow twins: an example at a time, from logits in float64."""

from __future__ import annotations

import numpy as np
import pytest
from tests.auditing.trainings import (
    CLASSES,
    EPOCHS,
    EXAMPLES,
    curves,
    labels,
    logits,
    seen,
    tracked,
)
from tests.reference import audit as slow

from byheart.auditing import scores as score
from byheart.auditing.history import History
from byheart.auditing.scores import COLUMNS, scores, suggested, suspicion, window_of
from byheart.errors import InputError

WINDOWS = [(0, None), (0, 3), (2, 5), (4, 5)]
EVERYTHING = np.ones((EPOCHS, EXAMPLES), bool)


def wanted(seeds: list[int], masks: list[np.ndarray], start: int, stop: int | None) -> list[dict]:
    return [
        slow.over_seeds(
            [
                slow.scores(
                    curves(seed, x, mask), int(labels()[x]), start, EPOCHS if stop is None else stop
                )
                for seed, mask in zip(seeds, masks, strict=True)
            ]
        )
        for x in range(EXAMPLES)
    ]


@pytest.mark.parametrize(("start", "stop"), WINDOWS)
@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_every_score_equals_its_slow_twin_gaps_included(
    seeds: list[int], start: int, stop: int | None
) -> None:
    masks = [seen(seed) for seed in seeds]
    histories = [tracked(seed)[1] for seed in seeds]
    table = scores(histories, start=start, stop=stop)
    for x, one in enumerate(wanted(seeds, masks, start, stop)):
        for name in (*COLUMNS, "epochs_seen"):
            # float16 holds three digits of each margin and loss; signs and counts are exact.
            assert table[name][x] == pytest.approx(one[name], rel=2e-3, abs=1e-3, nan_ok=True), name


@pytest.mark.parametrize(
    "name", ["p_correct", "first_learned", "never_learned", "forgetting_events"]
)
def test_scores_that_count_are_exact(name: str) -> None:
    table = scores([tracked(seed)[1] for seed in (0, 1)])
    twin = [one[name] for one in wanted([0, 1], [seen(0), seen(1)], 0, None)]
    np.testing.assert_array_equal(table[name], np.array(twin, np.float32))


def test_a_history_of_logits_at_hand_gives_the_scores_of_a_tracker() -> None:
    _, history = tracked(mask=EVERYTHING)
    assert scores(History.from_logits(logits(), labels())).equals(scores([history]))


def test_an_example_never_seen_has_no_score_rather_than_a_wrong_one() -> None:
    row = scores(tracked()[1]).loc[0]
    assert row["label"] == row["suggested"] == -1
    assert row["epochs_seen"] == 0
    assert row[[*COLUMNS, "suggested_probability"]].isna().all()


def test_a_seed_that_missed_an_example_does_not_dilute_the_others() -> None:
    hidden = EVERYTHING.copy()
    hidden[:, 7] = False
    both = scores([tracked(0, EVERYTHING)[1], tracked(1, hidden)[1]])
    alone = scores(tracked(0, EVERYTHING)[1])
    assert both.loc[7].equals(alone.loc[7])


def test_the_epoch_of_forgetting_may_lie_after_a_gap() -> None:
    right, wrong = [[2.0, 0.0]], [[0.0, 2.0]]
    import byheart

    tracker = byheart.Tracker(2)
    for logit in (right, None, wrong, right, right, wrong):
        tracker.update([1], [[1.0, 0.0]], [0])
        if logit is not None:
            tracker.update([0], logit, [0])
        tracker.end_epoch()
    assert score.forgetting_events(tracker.history()).tolist() == [2, 0]


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_the_suggested_label_is_exact_where_few_classes_compete(seeds: list[int]) -> None:
    assert CLASSES <= 5, "four slots beside the label"
    found = suggested([tracked(seed, EVERYTHING)[1] for seed in seeds])
    for x in range(EXAMPLES):
        each = [curves(seed, x, EVERYTHING) for seed in seeds]
        classes, probability = slow.suggestion(each, int(labels()[x]))
        assert found.classes[x] == classes
        assert found.probability[x] == pytest.approx(probability, rel=1e-4)


def test_a_flipped_label_is_suggested_back_among_a_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    true, given = np.arange(50), np.arange(50) + 500
    epochs = []
    for epoch in range(20):
        z = rng.normal(size=(50, 1000))
        z[np.arange(50), true] += 5.0
        z[np.arange(50), given] += 1.2 * epoch
        epochs.append(z)
    history = History.from_logits(epochs, given)
    assert (suggested(history).classes == true).all()
    assert history.alternatives.classes.shape == (50, 4)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (0, EPOCHS + 1), (EPOCHS, None)])
def test_a_window_without_epochs_is_named(start: int, stop: int | None) -> None:
    _, history = tracked()
    for of in COLUMNS.values():
        with pytest.raises(InputError, match=r"the window \[.*\) must hold one epoch or more"):
            of(history, start=start, stop=stop)


def test_seeds_of_other_examples_or_labels_are_refused() -> None:
    z = np.zeros((1, 3, 2))
    one = History.from_logits(z, [0, 1, 1])
    with pytest.raises(InputError, match="seed 1 has 2 examples, seed 0 has 3"):
        scores([one, History.from_logits(z[:, :2], [0, 1])])
    with pytest.raises(InputError, match="example 2 has label 0 in seed 1 and 1 in seed 0"):
        scores([one, History.from_logits(z, [0, 1, 0])])
    with pytest.raises(InputError, match="one seed or more"):
        scores([])


@pytest.mark.parametrize(("onset", "window"), [(1, 2), (5, 10), (10, 20), (11, 20), (20, 20)])
def test_the_window_is_twice_as_long_as_to_the_onset_if_the_training_is(
    onset: int, window: int
) -> None:
    assert window_of(onset, 20) == window


def test_a_wrong_label_that_is_learned_by_heart_after_the_window_stays_suspect() -> None:
    """The first is learned at once, the second after epoch 4 and then with a larger margin."""
    margins = np.array([[1.0, -1.0]] * 4 + [[1.0, 9.0]] * 4)
    history = History.from_logits([np.stack([m, np.zeros(2)], 1) for m in margins], [0, 0])
    assert suspicion(history, stop=window_of(2, 8)).tolist() == [-1.0, 1.0]
    assert suspicion(history, stop=8).tolist() == [-1.0, -4.0]

"""What each run holds out, and which labels it changes on purpose."""

from __future__ import annotations

import numpy as np

from byheart.auditing.planting import AT_MOST, FlipModel, Layout, excluded_flips, hold_out, plant

EXAMPLES, CLASSES = 2_000, 5


def doubts(pair: tuple[int, int] | None) -> FlipModel:
    """Return doubts of labels that are wrong for a pair of classes alone, or for none."""
    y = np.random.default_rng(0).integers(0, CLASSES, EXAMPLES)
    suspicion, suggested = np.full(EXAMPLES, -1.0), (y + 1) % CLASSES
    if pair is not None:
        wrong = np.flatnonzero(y == pair[1])[:40]
        suspicion[wrong], suggested[wrong] = 2.0, pair[0]
    return FlipModel(y, suspicion, suggested)


def planted(
    pair: tuple[int, int] | None, share: float = 0.1
) -> tuple[FlipModel, np.ndarray, np.ndarray]:
    found = doubts(pair)
    layout = plant(hold_out(found.labels, seeds=2, share=0.1, seed=0), found, share=share, seed=0)
    return found, layout.planted, layout.planted_labels


def test_flips_are_of_the_classes_that_the_users_labels_confuse() -> None:
    found, ids, labels = planted((3, 1))
    assert (labels != found.labels[ids]).all()
    alike = (found.labels[ids] == 3) & (labels == 1)
    assert alike.mean() > 0.85


def test_without_doubts_all_pairs_of_classes_are_alike() -> None:
    found, ids, labels = planted(None)
    pairs = np.zeros((CLASSES, CLASSES))
    np.add.at(pairs, (found.labels[ids.ravel()], labels.ravel()), 1)
    assert (np.diag(pairs) == 0).all()
    assert (pairs[~np.eye(CLASSES, dtype=bool)] > 5).all()


def test_no_seed_plants_what_it_holds_out_or_anything_twice() -> None:
    found = doubts((3, 1))
    held = hold_out(found.labels, seeds=2, share=0.1, seed=0)
    layout = plant(held, found, share=0.1, seed=0)
    for out, ids in zip(layout.held_out, layout.planted, strict=True):
        assert not set(out) & set(ids)
        assert len(set(ids)) == len(ids)


def test_a_class_is_never_changed_beyond_half() -> None:
    found, ids, _ = planted((3, 1), share=0.3)
    threes = (found.labels == 3).sum()
    assert (found.labels[ids[0]] == 3).sum() <= AT_MOST * threes + 1


def test_an_empty_class_is_never_planted() -> None:
    found = doubts(None)
    found = FlipModel(found.labels + (found.labels > 1), found.suspicion, found.suggested)
    layout = plant(hold_out(found.labels, seeds=2, share=0.1, seed=0), found, share=0.1, seed=0)
    assert 2 not in layout.planted_labels


def test_the_pairs_of_classes_that_are_doubted_most_are_confused_and_no_others() -> None:
    found = doubts((3, 1))
    assert found.are_confused(np.array([3, 1, 2]), np.array([1, 3, 1])).tolist() == [
        True,
        False,
        False,
    ]
    assert not doubts(None).are_confused(np.array([3]), np.array([1])).any()


def test_doubts_that_are_spread_over_the_pairs_of_classes_confuse_none() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, EXAMPLES)
    spread = FlipModel(y, rng.random(EXAMPLES), (y + rng.integers(1, CLASSES, EXAMPLES)) % CLASSES)
    assert not spread.are_confused(spread.suggested, y).any()


def test_a_doubted_example_stands_for_the_flips_that_it_seems_to_deserve() -> None:
    labels, suggested = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 2, 1, 0, 0])
    doubts = FlipModel(labels, np.array([1.0, -1.0, 1.0, 0.5, 2.0, np.nan]), suggested)
    sources, new = np.array([[0, 0, 0], [0, 1, 2]]), np.array([[1, 1, 1], [1, 2, 1]])
    # Four flips from 0 to 1, over four examples labelled 0, of which two are doubted as 1.
    np.testing.assert_array_equal(excluded_flips(doubts, sources, new), [1, 0, 0, 1, 0, 0])
    none = np.zeros((2, 0), np.int64)
    np.testing.assert_array_equal(excluded_flips(doubts, none, none), np.zeros(6))


Y = np.random.default_rng(0).integers(0, 4, 100)


def test_no_example_is_held_out_twice_while_there_are_enough() -> None:
    layout = hold_out(Y, seeds=5, share=0.1, seed=0)
    assert layout.held_out.shape == (5, 10)
    assert len(set(layout.held_out.ravel())) == 50
    np.testing.assert_array_equal(layout.seeds(2, 4).held_out, layout.held_out[2:4])
    for held_out in hold_out(Y, seeds=37, share=0.3, seed=0).held_out:
        assert len(set(held_out)) == 30


def test_a_seed_trains_on_all_but_what_it_holds_out_with_the_planted_labels() -> None:
    layout = Layout(
        np.array([[0, 1], [98, 99]]), np.array([[5, 6], [7, 8]]), np.array([[1, 2], [3, 0]])
    )
    assert layout.trained(1, 100).tolist() == list(range(98))
    changed = layout.labels(1, Y)
    assert changed[7] == 3
    assert changed[8] == 0
    assert np.delete(changed, [7, 8]).tolist() == np.delete(Y, [7, 8]).tolist()

"""What each run holds out, and which labels are changed on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from byheart.auditing.planting import AT_MOST, KINDS, Layout, bounds_of, hold_out, plant
from byheart.errors import InputError

EXAMPLES, CLASSES = 2_000, 5
Y = np.random.default_rng(0).integers(0, CLASSES, EXAMPLES)


def believed(pair: tuple[int, int] | None = None) -> np.ndarray:
    """Return probabilities that confuse a pair of classes, in half of the examples of the first."""
    belief = np.full((EXAMPLES, CLASSES), 0.001)
    belief[np.arange(EXAMPLES), Y] = 1
    if pair is not None:
        belief[np.flatnonzero(pair[0] == Y)[::2], pair[1]] = 0.5
    return belief


def test_every_planted_label_is_new_and_no_other_is_changed() -> None:
    found = plant(Y, 0.1, "all", believed((3, 1)), seed=3)
    np.testing.assert_array_equal(Y[found.ids], found.true)
    assert (found.labels[found.ids] != found.true).all()
    others = np.setdiff1d(np.arange(EXAMPLES), found.ids)
    np.testing.assert_array_equal(found.labels[others], Y[others])
    assert len(set(found.ids)) == len(found.ids)
    assert {kind: (found.kinds == kind).sum() for kind in KINDS} == dict.fromkeys(KINDS, 67)


def test_random_flips_are_of_all_pairs_of_classes() -> None:
    found = plant(Y, 0.2)
    pairs = np.zeros((CLASSES, CLASSES))
    np.add.at(pairs, (found.true, found.labels[found.ids]), 1)
    assert (np.diag(pairs) == 0).all()
    assert (pairs[~np.eye(CLASSES, dtype=bool)] > 5).all()


def test_confused_flips_are_of_the_classes_and_ambiguous_flips_of_the_examples() -> None:
    belief = believed((3, 1))
    for kind, least, most in (("confused", 0.3, 0.7), ("ambiguous", 0.9, 1.0)):
        found = plant(Y, 0.05, kind, belief)
        new = found.labels[found.ids]
        assert ((found.true == 3) & (new == 1)).mean() > 0.9
        assert least <= (belief[found.ids, new] == 0.5).mean() <= most


def test_a_class_never_loses_more_than_half() -> None:
    for kind in (*KINDS, "all"):
        found = plant(Y, 0.3, kind, believed((3, 1)))
        assert (np.bincount(found.true, minlength=CLASSES) <= AT_MOST * np.bincount(Y)).all()


def test_a_class_without_examples_is_never_planted() -> None:
    assert 2 not in plant(Y + (Y > 1), 0.3).labels


def test_the_same_seed_plants_the_same_labels() -> None:
    np.testing.assert_array_equal(plant(Y, seed=1).labels, plant(Y, seed=1).labels)
    assert (plant(Y, seed=1).labels != plant(Y, seed=2).labels).any()


def test_labels_below_0_are_no_labels() -> None:
    some = np.where(np.arange(EXAMPLES) % 3 == 0, -100, Y + 1)
    found = plant(some, 0.2)
    assert (some[found.ids] > 0).all()
    assert (found.labels[found.ids] > 0).all()
    assert len(found.ids) == round(0.2 * (some > 0).sum())
    np.testing.assert_array_equal(found.before, some)


@pytest.mark.parametrize("shape", [(), (1,), (4,)])
def test_a_target_that_is_no_class_becomes_that_of_another_example(shape: tuple) -> None:
    targets = np.random.default_rng(1).normal(size=(100, *shape)).round(1).astype(np.float32)
    found = plant(targets, 0.1, seed=2)
    assert len(set(found.ids.tolist())) == 10
    assert found.labels.dtype == np.float32
    np.testing.assert_array_equal(found.before, targets)
    for i in found.ids:
        assert (found.labels[i] != targets[i]).any()
        assert (found.labels[i] == targets).reshape(100, -1).all(1).any()
    with pytest.raises(InputError, match=r"kind 'confused' needs classes \[N\]"):
        plant(targets, kind="confused")
    with pytest.raises(InputError, match="of which two or more differ"):
        plant(targets * 0)


def test_with_few_flips_the_bound_is_not_below_what_chance_allows() -> None:
    # No user's label is as suspect as the flips at the top, and one in ten is wrong.
    rng, below = np.random.default_rng(0), 0
    for seed in range(40):
        flips = plant(Y[:400], 0.07, seed=seed)
        scores = rng.normal(size=400)
        scores[rng.permutation(400)[:40]] += rng.exponential(2, 40)
        scores[flips.ids] = rng.normal(size=28) + rng.exponential(2, 28)
        below += bounds_of(scores, flips).loc["uniform", "most_wrong"] < 0.1
    assert below <= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.5}, "share must be above 0 and at most 0.3, got 0.5"),
        ({"kind": "unifrm"}, "did you mean 'uniform'"),
        ({"kind": "confused"}, r"kind 'confused' needs probabilities \[N, classes\]"),
        ({"kind": "all", "probabilities": np.ones((3, 5))}, r"must be \[2000, classes\]"),
        ({"kind": "all", "probabilities": np.full((EXAMPLES, 5), np.nan)}, "must be finite"),
        ({"labels": np.zeros(10, int)}, "of two classes or more"),
    ],
)
def test_what_cannot_be_planted_is_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plant(**({"labels": Y} | arguments))


SOME = np.random.default_rng(0).integers(0, 4, 100)


def test_no_example_is_held_out_twice_while_there_are_enough() -> None:
    layout = hold_out(SOME, seeds=5, share=0.1, seed=0)
    assert layout.held_out.shape == (5, 10)
    assert len(set(layout.held_out.ravel())) == 50
    np.testing.assert_array_equal(layout.seeds(2, 4).held_out, layout.held_out[2:4])
    for held_out in hold_out(SOME, seeds=37, share=0.3, seed=0).held_out:
        assert len(set(held_out)) == 30


def test_a_seed_trains_on_all_but_what_it_holds_out_with_the_planted_labels() -> None:
    layout = Layout(
        np.array([[0, 1], [98, 99]]), np.array([[5, 6], [7, 8]]), np.array([[1, 2], [3, 0]])
    )
    assert layout.trained(1, 100).tolist() == list(range(98))
    changed = layout.labels(1, SOME)
    assert changed[7] == 3
    assert changed[8] == 0
    assert np.delete(changed, [7, 8]).tolist() == np.delete(SOME, [7, 8]).tolist()

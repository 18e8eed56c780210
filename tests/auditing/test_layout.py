"""What each seed holds out and plants."""

import numpy as np
import pytest

from byheart.auditing.layout import draw_layout

Y = np.random.default_rng(0).integers(0, 4, 100)


def test_no_example_is_held_out_or_planted_twice_while_there_are_enough() -> None:
    layout = draw_layout(Y, seeds=5, held_out=0.1, planted=0.05, seed=0)
    used = np.concatenate([layout.held_out.ravel(), layout.planted.ravel()])
    assert len(used) == 75 == len(set(used))


def test_a_seed_never_plants_what_it_holds_out_however_many_seeds_there_are() -> None:
    layout = draw_layout(Y, seeds=30, held_out=0.1, planted=0.05, seed=0)
    for held_out, planted in zip(layout.held_out, layout.planted, strict=True):
        assert len({*held_out, *planted}) == 15


def test_a_planted_label_is_another_one_and_every_other_is_as_likely() -> None:
    layout = draw_layout(Y, seeds=200, held_out=0.1, planted=0.5, seed=1)
    assert (layout.planted_labels != Y[layout.planted]).all()
    of = layout.planted_labels[Y[layout.planted] == 2]
    share = np.bincount(of, minlength=4) / len(of)
    assert share == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.03)


def test_a_class_without_examples_is_never_planted() -> None:
    layout = draw_layout(Y + (Y > 1), seeds=20, held_out=0.1, planted=0.2, seed=1)
    assert set(layout.planted_labels.ravel()) == {0, 1, 3, 4}


def test_a_seed_trains_on_all_but_what_it_holds_out_with_the_planted_labels() -> None:
    layout = draw_layout(Y, seeds=2, held_out=0.1, planted=0.05, seed=3)
    assert {*layout.trained(1, 100)} == {*range(100)} - {*layout.held_out[1]}
    changed = layout.labels(1, Y)
    assert {*np.flatnonzero(changed != Y)} == {*layout.planted[1]}
    assert (changed[layout.planted[1]] == layout.planted_labels[1]).all()

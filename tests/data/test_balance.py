"""Balanced draws: exact, disjoint, reproducible, and not grouped by class."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.data.dataset import split_indices
from byheart.errors import InputError


def labels(per_class: int, n_classes: int, seed: int = 0) -> torch.Tensor:
    y = np.repeat(np.arange(n_classes), per_class)
    return torch.from_numpy(np.random.default_rng(seed).permutation(y))


@settings(deadline=None, max_examples=60)
@given(
    n_classes=st.integers(2, 6),
    train=st.integers(1, 40),
    validation=st.integers(0, 40),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_and_balanced(
    n_classes: int, train: int, validation: int, seed: int
) -> None:
    y = labels(42, n_classes)
    first, second = split_indices(y, n_classes, train, validation, seed)
    assert (len(first), len(second)) == (train, validation)
    assert len(set(first.tolist()) | set(second.tolist())) == train + validation
    for part in (first, second):
        counts = torch.bincount(y[part], minlength=n_classes)
        assert counts.max() - counts.min() <= 1


def test_the_same_seed_gives_the_same_draw_and_another_seed_another() -> None:
    y = labels(30, 4)
    one, same = split_indices(y, 4, 40, 20, 5), split_indices(y, 4, 40, 20, 5)
    other = split_indices(y, 4, 40, 20, 6)
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_validation_examples_do_not_depend_on_the_training_size() -> None:
    y = labels(30, 4)
    assert torch.equal(split_indices(y, 4, 10, 20, 0)[1], split_indices(y, 4, 90, 20, 0)[1])


def test_the_order_tells_nothing_of_the_class() -> None:
    y = labels(500, 2)
    order = y[split_indices(y, 2, 1000, 0, 0)[0]].double()
    half = order[:500].mean()
    assert abs(float(half) - 0.5) < 0.1
    assert (order[1:] != order[:-1]).double().mean() > 0.4


def test_every_example_can_be_drawn() -> None:
    y = labels(6, 2)
    seen = {int(i) for seed in range(40) for i in split_indices(y, 2, 4, 2, seed)[0]}
    assert seen == set(range(12))


def test_odd_examples_of_the_two_parts_go_to_different_classes() -> None:
    first, second = split_indices(labels(2, 2), 2, 3, 1, 0)
    assert len(first) + len(second) == 4


def test_a_class_that_is_too_small_is_named_with_what_it_has_and_needs() -> None:
    y = torch.tensor([0] * 10 + [1] * 3)
    with pytest.raises(
        InputError,
        match=r"class 'cat' has 3 examples but 5 are needed \(4 for training, 1 for validation\)",
    ):
        split_indices(y, 2, 8, 2, 0, classes=("dog", "cat"))


def test_a_class_without_examples_is_named_by_its_number() -> None:
    with pytest.raises(InputError, match="class '1' has 0 examples"):
        split_indices(torch.tensor([0, 0, 2, 2]), 3, 3, 0, 0)


@pytest.mark.parametrize(("train", "validation"), [(0, 1), (-1, 0), (1, -1)])
def test_sizes_that_make_no_sense_are_refused(train: int, validation: int) -> None:
    with pytest.raises(InputError, match=f"{train} training and {validation} validation"):
        split_indices(labels(3, 2), 2, train, validation, 0)

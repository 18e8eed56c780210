"""What a data set accepts, refuses, and can be turned into."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from byheart.data import Dataset, corrupt
from byheart.data.dataset import split_indices
from byheart.errors import InputError


def make(x: Any = None, y: Any = None, classes: list[str] | None = None) -> Dataset:
    inputs = np.linspace(0, 1, 12).reshape(6, 2) if x is None else x
    labels = [0, 1, 2, 0, 1, 2] if y is None else y
    return Dataset.from_arrays("toy", inputs, labels, classes)


def test_harmless_types_are_converted() -> None:
    dataset = make(np.eye(4, dtype=np.float64), np.array([0, 1, 0, 1], dtype=np.uint8))
    assert dataset.x.dtype == torch.float32
    assert dataset.y.dtype == torch.int64
    assert dataset.classes == ("0", "1")
    assert not dataset.noisy.any()
    assert torch.equal(dataset.y, dataset.clean_y)


@pytest.mark.parametrize("dtype", [">f4", "f2", "g", "u2", "?", "i1"])
def test_inputs_of_any_real_type_are_converted(dtype: str) -> None:
    assert torch.equal(make(np.eye(6).astype(dtype)).x, torch.eye(6))


def test_lists_and_whole_floats_and_read_only_arrays_will_do() -> None:
    fixed = np.eye(2)
    fixed.flags.writeable = False
    assert torch.equal(make([[0, 1], [1, 0]], [0.0, 1.0]).y, torch.tensor([0, 1]))
    assert torch.equal(make(fixed, [0, 1]).x, torch.eye(2))


def test_facts_that_planning_needs() -> None:
    dataset = make(np.zeros((5, 3, 2)), [0, 1, 1, 1, 0], ["no", "yes"])
    assert (len(dataset), dataset.shape, dataset.n_classes) == (5, (3, 2), 2)
    assert dataset.smallest_class == 2


@pytest.mark.parametrize(
    ("x", "y", "classes", "message"),
    [
        ([], [], None, "is empty"),
        (None, [1] * 6, None, r"one class only \('1'\)"),
        (None, [0, 1, 2, 0, 1, 3], ["a", "b", "c"], r"label 3 is out of range.*0\.\.2"),
        (None, [0, 1, 2, 0, 1, -1], ["a", "b", "c"], "label -1 is out of range"),
        (None, [0, 1, 2, 0, 1, 0.5], None, "whole numbers or names, and example 5 has 0.5"),
        (None, [0, 1, 2, 0, 1, np.nan], None, "1 of 6 labels are missing, the first of example 5"),
        (None, ["a", "b", "", "a", None, "b"], None, "2 of 6 labels are missing.*example 2"),
        (None, [[0, 1, 2, 0, 1, 1]], None, r"labels have shape \[1, 6\].*y\.argmax\(1\)"),
        (None, list("abcabc"), ["ab", "bb"], "unknown label 'a': did you mean 'ab'"),
        (None, [["a"], ["b"], ["a", "b"], 0, 0, 0], None, "lists of different lengths"),
        (None, np.zeros(6, complex), None, "labels are of type complex128"),
        (None, [0, 1], None, "6 inputs, 2 labels: give one of each"),
        (None, None, ["a", "b", "b"], "two classes are called 'b'"),
        (np.full((6, 2), np.nan), None, None, "the input of example 0 holds NaN"),
        (np.full((6, 2), np.inf), None, None, "example 0 holds NaN or infinity"),
        (np.zeros(6), None, None, r"inputs have shape \[6\]"),
        (np.zeros((6, 0)), None, None, r"inputs have shape \[6, 0\]"),
        (np.zeros((6, 2), dtype=object), None, None, "inputs are of type object"),
        (np.zeros((6, 2), dtype=complex), None, None, "inputs are of type complex128"),
        (torch.zeros(6, 2, dtype=torch.complex64), None, None, "inputs are complex"),
        ([[1, 0], [1]], [0, 1], None, "inputs are lists of different lengths"),
    ],
)
def test_bad_arrays_get_one_clear_line(
    x: object, y: object, classes: list[str] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make(x, y, classes)
    assert "data set 'toy'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_example_that_holds_nan_is_named() -> None:
    x = np.zeros((6, 2))
    x[4, 1] = np.nan
    with pytest.raises(InputError, match="example 4"):
        make(x)


@pytest.mark.parametrize(
    ("y", "classes", "numbers"),
    [
        ([3, 1, 2, 3, 1, 2], ("1", "2", "3"), [2, 0, 1, 2, 0, 1]),
        ([1000, 7, 7, 7, 1000, 7], ("7", "1000"), [1, 0, 0, 0, 1, 0]),
        ([-1, 1, 1, 1, -1, -1], ("-1", "1"), [0, 1, 1, 1, 0, 0]),
        ([1.0, 2.0, 1.0, 2.0, 1.0, 1.0], ("1", "2"), [0, 1, 0, 1, 0, 0]),
        (list("bacbac"), ("a", "b", "c"), [1, 0, 2, 1, 0, 2]),
        (["10", "9", "9", "10", "9", "9"], ("9", "10"), [1, 0, 0, 1, 0, 0]),
        ([True, False, True, True, False, False], ("False", "True"), [1, 0, 1, 1, 0, 0]),
        (np.array([[1], [0], [0], [1], [0], [0]]), ("0", "1"), [1, 0, 0, 1, 0, 0]),
        (np.array([2, "x", 2, "x", 2, 2], object), ("2", "x"), [0, 1, 0, 1, 0, 0]),
        (torch.tensor([4, 5, 4, 5, 4, 4]), ("4", "5"), [0, 1, 0, 1, 0, 0]),
    ],
)
def test_labels_of_any_kind_are_numbered_without_empty_classes(
    y: Any, classes: tuple[str, ...], numbers: list[int]
) -> None:
    dataset = make(y=y)
    assert (dataset.classes, dataset.y.tolist()) == (classes, numbers)


def test_labels_that_are_names_of_given_classes_keep_their_order() -> None:
    dataset = make(y=list("bacbac"), classes=["c", "b", "a"])
    assert dataset.y.tolist() == [1, 2, 0, 1, 2, 0]


def test_as_many_labels_as_examples_are_no_classes() -> None:
    with pytest.raises(InputError, match="20 different values in 20 examples"):
        make(np.eye(20), np.arange(20))


def test_vectors_outside_the_unit_interval_are_standardised_by_feature() -> None:
    x = np.random.default_rng(0).normal([1e9, -3, 5], [1, 100, 1e-3], (500, 3))
    dataset = make(x, np.arange(500) % 2)
    expected = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(dataset.x.numpy(), expected, atol=1e-4)
    assert dataset.prepared is not None
    assert "mean 0 and standard deviation 1" in dataset.prepared.notes[0]


def test_outliers_are_clipped_at_ten_standard_deviations() -> None:
    x = np.zeros((1000, 1))
    x[7], x[8] = 1e9, -1
    assert float(make(x, np.arange(1000) % 2).x.abs().max()) == 10


def test_images_outside_the_unit_interval_are_scaled_as_a_whole() -> None:
    x = np.random.default_rng(0).normal(2, 3, (6, 3, 8, 8)).astype(np.float32)
    dataset = make(x)
    np.testing.assert_allclose(dataset.x.numpy(), (x - x.mean()) / x.std(), atol=1e-5)
    assert dataset.kind == "images"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_images_of_bytes_are_divided_by_255_whatever_their_type(dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(6, 8, 8), dtype=np.uint8)
    assert torch.equal(make(pixels.astype(dtype)).x, torch.from_numpy(pixels) / 255)


def test_bytes_of_zero_and_one_are_kept() -> None:
    assert torch.equal(make(np.eye(6, dtype=np.uint8)).x, torch.eye(6))
    assert torch.equal(make(torch.eye(6, dtype=torch.uint8)).x, torch.eye(6))


def test_a_part_knows_the_row_of_each_example() -> None:
    part = make().subset([4, 2, 3]).subset([2, 0])
    assert part.prepared is not None and part.prepared.numbers == [3, 4]


def test_a_data_set_of_noise_only_is_valid() -> None:
    corrupt(make(), inputs=1.0, labels=1.0).validate()


def test_arrays_of_unequal_length_are_told_apart() -> None:
    short = dataclasses.replace(make(), noisy_labels=torch.zeros(2, dtype=torch.bool))
    with pytest.raises(InputError, match="2 noisy_labels"):
        short.validate()


def test_a_subset_keeps_every_array_in_step(toy: Dataset) -> None:
    noisy = corrupt(toy, inputs=0.5, labels=0.5)
    at = torch.tensor([7, 3, 50])
    part = noisy.subset(at)
    for field in ("x", "y", "clean_y", "noisy_inputs", "noisy_labels", "noisy"):
        assert torch.equal(getattr(part, field), getattr(noisy, field)[at])
    assert part.classes == noisy.classes


def test_a_split_error_names_data_set_and_class(toy: Dataset) -> None:
    with pytest.raises(InputError, match="data set 'toy': class '0' has 12 examples but 15"):
        toy.split(40, 20, seed=0)


def test_a_balanced_subset_that_asks_too_much_says_so_without_a_split(toy: Dataset) -> None:
    with pytest.raises(InputError, match="class '0' has 12 examples but 15 are needed: ask for"):
        toy.balanced(60, seed=0)


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (3, 4, 6)])
def test_downsampling_averages_blocks(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    small = Dataset.from_arrays("toy", x, [0, 1]).downsample(2)
    assert small.shape == (*shape[:-2], 2, 2)
    for row in range(2):
        for column in range(2):
            block = x[..., 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
            mean = torch.from_numpy(block.mean((-2, -1)))
            torch.testing.assert_close(small.x[..., row, column], mean)


def test_downsampling_keeps_labels_and_mean() -> None:
    x = torch.rand(4, 28, 28)
    small = Dataset.from_arrays("toy", x, [0, 1, 0, 1]).downsample(14)
    torch.testing.assert_close(small.x, functional.avg_pool2d(x[:, None], 2)[:, 0])
    assert small.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("side", [0, 3, 8])
def test_a_side_that_does_not_divide_is_refused(toy: Dataset, side: int) -> None:
    with pytest.raises(InputError, match=f"4x4 down to {side}x{side}"):
        toy.downsample(side)


def test_only_images_are_averaged() -> None:
    with pytest.raises(InputError, match=r"shape \[2\] are no images"):
        make().downsample(1)


def test_the_fingerprint_is_of_numbers_and_not_of_names(toy: Dataset) -> None:
    renamed = dataclasses.replace(toy, name="other", classes=("a", "b", "c", "d"))
    assert renamed.fingerprint == toy.fingerprint
    assert len(toy.fingerprint) == 64


def test_the_fingerprint_tells_inputs_labels_classes_and_shape_apart(toy: Dataset) -> None:
    x = toy.x.clone()
    x[0, 0, 0] = 0.5
    others = [
        dataclasses.replace(toy, x=x),
        dataclasses.replace(toy, y=toy.y.flip(0)),
        dataclasses.replace(toy, classes=(*toy.classes, "4")),
        dataclasses.replace(toy, x=toy.x.reshape(60, 2, 8)),
        toy.subset(range(59)),
    ]
    assert len({toy.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_the_fingerprint_is_what_its_description_says() -> None:
    dataset = make([[0.0, 1.0], [0.5, 0.25]], [0, 1])
    digest = hashlib.sha256(b"[[2, 2], 2]")
    digest.update(np.array([0, 1, 0.5, 0.25], dtype="<f4").tobytes())
    digest.update(np.array([0, 1], dtype="<i8").tobytes())
    assert dataset.fingerprint == digest.hexdigest()


def test_the_fingerprint_does_not_see_memory_layout(toy: Dataset) -> None:
    turned = dataclasses.replace(toy, x=toy.x.transpose(1, 2).contiguous().transpose(1, 2))
    assert not turned.x.is_contiguous()
    assert turned.fingerprint == toy.fingerprint


def labels(per_class: int, n_classes: int, seed: int = 0) -> torch.Tensor:
    y = np.repeat(np.arange(n_classes), per_class)
    return torch.from_numpy(np.random.default_rng(seed).permutation(y))


@settings(deadline=None, max_examples=30)
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

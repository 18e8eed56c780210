"""From the name of a source to a data set, and the errors of names that mean nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import byheart
from byheart.data import load_dataset
from byheart.data.sources import as_dataset
from byheart.errors import DataError, InputError


def test_digits_are_scaled_to_the_unit_interval() -> None:
    dataset = load_dataset("digits")
    assert (len(dataset), dataset.shape) == (1797, (8, 8))
    assert dataset.classes == tuple("0123456789")
    expected = torch.from_numpy(load_digits().images / 16).float()
    assert torch.equal(dataset.x, expected)
    assert dataset.smallest_class == 174


def test_a_repr_of_a_data_set_is_one_line() -> None:
    shown = repr(load_dataset("digits", size=200))
    assert shown == "Dataset('digits': 200 of shape 8x8, 10 classes)"


def test_columns_of_a_table_are_refused_for_a_loaded_data_set() -> None:
    with pytest.raises(InputError, match="is loaded, so it has no column 'target'"):
        as_dataset(load_dataset("digits", size=20), label="target")


def test_the_fingerprint_of_digits_is_pinned() -> None:
    # Keys of stored trials hang on it: if this number moves, every stored study is orphaned.
    fingerprint = "407fa6a27d861b22c948b206ab8ed03c80dd1fa680d333f4f922480068fb7734"
    assert load_dataset("digits").fingerprint == fingerprint


def test_a_size_gives_a_balanced_subset_that_depends_on_the_seed() -> None:
    part = load_dataset("digits", size=200, seed=1)
    assert torch.bincount(part.y).tolist() == [20] * 10
    assert part.fingerprint == load_dataset("digits", size=200, seed=1).fingerprint
    assert part.fingerprint != load_dataset("digits", size=200, seed=2).fingerprint


def test_the_front_door_leads_here() -> None:
    assert byheart.load_dataset is load_dataset


@pytest.mark.parametrize("size", [0, -5])
def test_a_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"cannot draw {size} "):
        load_dataset("digits", size=size)


def test_digits_have_no_test_part() -> None:
    with pytest.raises(InputError, match="'digits' has no test part"):
        load_dataset("digits", split="test")


@pytest.mark.parametrize(
    ("source", "nearest"),
    [("mnits", "mnist"), ("cifar-10", "cifar10"), ("fashion", "fashion-mnist")],
)
def test_an_unknown_name_gets_the_nearest_right_one(source: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"unknown data set '{source}': did you mean '{nearest}'"):
        load_dataset(source)


def test_an_unknown_name_gets_every_kind_of_source() -> None:
    with pytest.raises(
        InputError, match=r"cifar10, a folder, a table, a \.npz file and hf:owner/name"
    ):
        load_dataset("zzz")


def test_an_unknown_split_gets_the_nearest_right_one() -> None:
    with pytest.raises(InputError, match="unknown split 'tset': did you mean 'test'"):
        load_dataset("digits", split="tset")


@pytest.mark.parametrize("source", ["no/such/folder", "./mnist", "missing.npz", "/nowhere"])
def test_a_path_that_does_not_exist_says_so(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"data set '{source}': there is no such file or folder"):
        load_dataset(source)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_text("1,2")
    with pytest.raises(DataError, match=r"x\.pdf is of no known kind: tables end in \.csv"):
        load_dataset(path)


def test_a_folder_of_nothing_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data set: it needs IDX files"):
        load_dataset(tmp_path)


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "mine.npz", x=np.eye(2), y=[0, 1])
    assert len(load_dataset("~/mine.npz")) == 2

"""``load_dataset``: from the name of a source to a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from byheart.data.dataset import Dataset
from byheart.data.mnist import is_idx_folder, load_family, load_idx_folder
from byheart.errors import DataError, InputError, choose

SPLITS = ("train", "test")


def load_dataset(
    source: str | os.PathLike[str],
    *,
    size: int | None = None,
    seed: int = 0,
    split: str = "train",
) -> Dataset:
    """Load a data set, whole or a class-balanced part of it.

    Args:
        source: "digits", "mnist", "fashion-mnist", "cifar10", a folder of IDX files, a folder of
            images by class, a .npz with x and y, or "hf:owner/name".
        size: number of examples of a class-balanced random subset; all if None.
        seed: draws the subset; unused if ``size`` is None.
        split: "train" or "test", where the source has both.

    Returns:
        A clean data set, inputs in [0, 1].

    Raises:
        InputError: an unknown source or split, or a class with too few examples.
        DataError: a file that is missing, truncated, of the wrong hash, or not what it claims.
    """
    choose("split", split, SPLITS)
    dataset = _load(os.fspath(source), split)
    return dataset if size is None else dataset.balanced(size, seed)


def _load(source: str, split: str) -> Dataset:
    if source in NAMED:
        return NAMED[source](split)
    path = Path(source).expanduser()
    if path.is_dir():
        return _load_folder(path, split)
    if os.sep in source or path.suffix:
        raise DataError(f"data set '{source}': there is no such file or folder")
    choose("data set", source, NAMED)
    raise AssertionError("choose returned a name that is not known")


def _load_folder(folder: Path, split: str) -> Dataset:
    if is_idx_folder(folder):
        return load_idx_folder(folder, split)
    raise DataError(f"{folder}: no data set")


def _digits(split: str) -> Dataset:
    if split != "train":
        raise InputError("data set 'digits' has no test part: load split 'train' and divide it")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Dataset.from_arrays("digits", (images / 16).reshape(-1, 8, 8), labels)


NAMED: dict[str, Callable[[str], Dataset]] = {
    "digits": _digits,
    "mnist": lambda split: load_family("mnist", split),
    "fashion-mnist": lambda split: load_family("fashion-mnist", split),
}

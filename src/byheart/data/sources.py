"""``load_dataset``: from the name of a source to a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from byheart.data.cifar import is_cifar_folder, load_cifar10, load_cifar_folder
from byheart.data.dataset import Dataset
from byheart.data.images import (
    HUB_PREFIX,
    image_paths,
    is_image_folder,
    load_hub,
    load_image_folder,
)
from byheart.data.mnist import is_idx_folder, load_family, load_idx_folder
from byheart.data.npz import load_npz
from byheart.errors import DataError, InputError, choose
from byheart.texts import visible

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
    try:
        dataset = _load(os.fspath(source), split)
    except OSError as error:
        raise DataError(f"data set '{source}' cannot be read: {error.strerror or error}") from None
    return dataset if size is None else dataset.balanced(size, seed)


def example_files(source: str | os.PathLike[str], *, split: str = "train") -> list[str] | None:
    """Return the file that each example of a data set comes from, in the order of its examples.

    Args:
        source: as for :func:`load_dataset`.
        split: "train" or "test".

    Returns:
        Paths below the folder; None if the source is no folder of images.
    """
    folder = Path(source).expanduser()
    named = os.fspath(source).lower() in NAMED
    if named or not folder.is_dir() or is_idx_folder(folder) or is_cifar_folder(folder):
        return None
    return [visible(str(path.relative_to(folder))) for path in image_paths(folder, split)]


def _load(source: str, split: str) -> Dataset:
    if source.lower() in NAMED:
        return NAMED[source.lower()](split)
    if source.startswith(HUB_PREFIX):
        return load_hub(source, split)
    path = _path(source)
    if path.is_dir():
        return _load_folder(path, split)
    if path.is_file():
        if path.suffix != ".npz":
            raise DataError(f"{path} is no .npz file: save arrays x and y with numpy.savez")
        return load_npz(path, split)
    if path.suffix or source != path.name:
        raise DataError(f"data set '{source}': there is no such file or folder")
    try:
        choose("data set", source, NAMED)
    except InputError as error:
        raise InputError(f"{error}, a folder, a .npz file and {HUB_PREFIX}owner/name") from None
    raise AssertionError(f"'{source}' is known but was not loaded")


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise DataError(f"data set '{source}': {error}") from None


def _load_folder(folder: Path, split: str) -> Dataset:
    if is_idx_folder(folder):
        return load_idx_folder(folder, split)
    if is_cifar_folder(folder):
        return load_cifar_folder(folder, split)
    if is_image_folder(folder):
        return load_image_folder(folder, split)
    raise DataError(
        f"{folder} holds no data set: it needs IDX files (train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz) or one folder of images per class"
    )


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
    "cifar10": load_cifar10,
}

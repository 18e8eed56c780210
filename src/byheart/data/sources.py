"""``load_dataset``: from the name of a source to a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from byheart.data.checks import require_equal_lengths
from byheart.data.cifar import is_cifar_folder, load_cifar10, load_cifar_folder
from byheart.data.dataset import Dataset
from byheart.data.hub import HUB_PREFIX, load_hub
from byheart.data.image_folder import is_image_folder, load_image_folder
from byheart.data.images import require_side
from byheart.data.mnist import is_idx_folder, load_family, load_idx_folder
from byheart.data.npz import load_npz
from byheart.errors import DataError, InputError, choose

SPLITS = ("train", "test")
LABEL = "label"
"""What the column of labels is called, if inputs and labels come apart."""


def load_dataset(
    source: Any,
    *,
    size: int | None = None,
    seed: int = 0,
    split: str = "train",
    label: str | None = None,
    text: str | None = None,
    resize: int | None = None,
) -> Dataset:
    """Load a data set, whole or a class-balanced part of it.

    Args:
        source: "digits", "mnist", "fashion-mnist", "cifar10", a folder of IDX files, a folder of
            images by class, a .npz with x and y, a table (.csv, .tsv, .parquet, .jsonl, or a pandas
            or Arrow frame), a pair (x, y), or "hf:owner/name".
        size: number of examples of a class-balanced random subset; all if None.
        seed: draws the subset; unused if ``size`` is None.
        split: "train" or "test", where the source has both.
        label: the column of a table that has the labels.
        text: the column of a table that has texts. Then these are the inputs, as n-grams.
        resize: pixels on a side, to which images are brought. Default: images of one size keep it,
            and images of several sizes are brought to 64.

    Returns:
        A clean data set. ``dataset.prepared`` says how a table became inputs.

    Raises:
        InputError: an unknown source, split or column, labels that cannot be used, or a class with
            too few examples.
        DataError: a file that is missing, truncated, of the wrong hash, or not what it claims.
    """
    choose("split", split, SPLITS)
    require_side(resize)
    if resize is not None and not _may_be_images(source):
        raise InputError(f"data set '{source}' is no folder of images: leave out resize")
    try:
        dataset = _load(source, split, label, text, resize)
    except OSError as error:
        raise DataError(f"data set '{source}' cannot be read: {error.strerror or error}") from None
    return dataset if size is None else dataset.balanced(size, seed)


def _may_be_images(source: Any) -> bool:
    """Return whether a source is a folder or lies on the hub, where images of any size may be."""
    if not isinstance(source, str | os.PathLike):
        return False
    text = os.fspath(source)
    return text.startswith(HUB_PREFIX) or (text.lower() not in NAMED and _path(text).is_dir())


def as_dataset(data: Any, label: str | None = None, text: str | None = None) -> Dataset:
    """Return a data set as it is, and load anything else that :func:`load_dataset` can load.

    Raises:
        InputError: columns are named of a data set, which has none; or as for ``load_dataset``.
        DataError: as for ``load_dataset``.
    """
    if not isinstance(data, Dataset):
        return load_dataset(data, label=label, text=text)
    if label is not None or text is not None:
        raise InputError(
            f"data set '{data.name}' is loaded, so it has no column '{label or text}': leave out "
            "label and text"
        )
    return data


def _load(
    source: Any, split: str, label: str | None, text: str | None, resize: int | None
) -> Dataset:
    if not isinstance(source, str | os.PathLike):
        _require_no_split("data in memory", split)
        return _load_values(source, label, text)
    source = os.fspath(source)
    path = _path(source)
    if path.is_file() and path.suffix != ".npz" and source.lower() not in NAMED:
        return _load_table(path, split, label, text)
    if source.startswith(HUB_PREFIX):
        return load_hub(source, split, label=label, text=text, resize=resize)
    if label is not None or text is not None:
        raise InputError(
            f"data set '{source}' is no table, so it has no column '{label or text}': leave out "
            f"label and text; tables end in {_table_endings()}"
        )
    if source.lower() in NAMED:
        return NAMED[source.lower()](split)
    if path.is_dir():
        return _load_folder(path, split, resize)
    if path.is_file():
        return load_npz(path, split)
    if path.suffix or source != path.name:
        raise DataError(f"data set '{source}': there is no such file or folder")
    try:
        choose("data set", source, NAMED)
    except InputError as error:
        raise InputError(
            f"{error}, a folder, a table, a .npz file and {HUB_PREFIX}owner/name"
        ) from None
    raise AssertionError(f"'{source}' is known but was not loaded")


def _load_table(path: Path, split: str, label: str | None, text: str | None) -> Dataset:
    # pandas and scikit-learn take a second to import, which the workers of a study need not wait.
    from byheart.data.frames import READERS, read_frame
    from byheart.data.tables import from_frame

    if path.suffix.lower() not in READERS:
        raise DataError(
            f"{path} is of no known kind: tables end in {_table_endings()}; arrays x and y that "
            "numpy.savez wrote, in .npz"
        )
    _require_no_split(f"table {path}", split)
    frame, notes = read_frame(path, text)
    return from_frame(path.stem, frame, label, text=text, notes=notes)


def _table_endings() -> str:
    from byheart.data.frames import READERS

    return ", ".join(READERS)


def _load_values(data: Any, label: str | None, text: str | None) -> Dataset:
    """Return a data set of a frame, or of inputs and labels."""
    import pandas as pd

    from byheart.data.frames import as_frame
    from byheart.data.tables import from_frame

    frame = as_frame(data)
    if frame is not None:
        return from_frame("table", frame, label, text=text)
    if not isinstance(data, tuple) or len(data) != 2:
        raise InputError(
            f"cannot load data of type {type(data).__name__}: give a path, a frame, or a pair "
            "(x, y) of inputs and labels"
        )
    x, y = data
    rows = as_frame(x)
    if rows is None and isinstance(x, np.ndarray) and x.ndim == 2 and pd.isna(x).any():
        rows = pd.DataFrame(x).rename(columns="feature {}".format)
    if rows is None:
        return Dataset.from_arrays("arrays", x, y)
    labels = pd.Series(np.asarray(y).reshape(-1), name=LABEL)
    require_equal_lengths("table", {"rows": len(rows), "labels": len(labels)})
    return from_frame("table", rows.assign(**{LABEL: labels.to_numpy()}), LABEL)


def _require_no_split(what: str, split: str) -> None:
    if split != "train":
        raise InputError(f"{what} has no test part: load split 'train', and divide it")


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise DataError(f"data set '{source}': {error}") from None


def _load_folder(folder: Path, split: str, resize: int | None) -> Dataset:
    if is_idx_folder(folder):
        return load_idx_folder(folder, split)
    if is_cifar_folder(folder):
        return load_cifar_folder(folder, split)
    if is_image_folder(folder):
        return load_image_folder(folder, split, resize)
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

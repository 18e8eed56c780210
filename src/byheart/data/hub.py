"""Image data sets of the Hugging Face hub: "hf:owner/name"."""

from __future__ import annotations

from typing import Any

import numpy as np

from byheart.data.assemble import from_bytes
from byheart.data.dataset import Dataset
from byheart.data.images import stack_images
from byheart.errors import DataError, InputError

PREFIX = "hf:"


def load_hub(source: str, split: str) -> Dataset:
    """Load an image classification data set with the ``datasets`` package.

    The image and the label column are found by their feature types. No code from the hub is run.

    Args:
        source: "hf:owner/name".
        split: as the data set calls it.

    Raises:
        InputError: the ``datasets`` package is not installed, or a label out of range.
        DataError: no such data set or split, it cannot be downloaded, or it has not exactly one
            image column and one label column.
    """
    name = source.removeprefix(PREFIX)
    if not name:
        raise InputError(f"data set '{source}': write {PREFIX}owner/name")
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"data set '{source}' needs the datasets package: pip install 'byheart[datasets]'"
        ) from None
    try:
        table = datasets.load_dataset(name, split=split)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"data set '{source}', split '{split}', cannot be loaded: {reason}; check the name and "
            "the network, or load it once where there is one (it is cached)"
        ) from None
    image = _column(source, table.features, datasets.Image, "image")
    label = _column(source, table.features, datasets.ClassLabel, "class label")
    pixels = stack_images(table[image], (f"{source} row {i}" for i in range(len(table))))
    labels = np.asarray(list(table[label]))
    return Dataset.from_arrays(name, from_bytes(pixels), labels, table.features[label].names)


def _column(source: str, features: dict[str, Any], kind: type, what: str) -> str:
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        has = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise DataError(
            f"data set '{source}' has {len(found)} {what} columns where one is needed; it has {has}"
        )
    return found[0]

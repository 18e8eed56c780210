"""Data sets of the Hugging Face hub: images, tables and texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from byheart.data.dataset import Dataset
from byheart.data.images import Pixels, Sizes, UnusableError, to_pixels, upright_size
from byheart.data.preparation import Preparation
from byheart.errors import DataError, InputError

HUB_PREFIX = "hf:"


def load_hub(
    source: str, split: str, *, label: str | None, text: str | None, resize: int | None
) -> Dataset:
    """Load a data set with the ``datasets`` package.

    The image and the label column are found by their feature types. Without an image column, the
    data set is a table or, with ``text``, a set of texts. No code from the hub is run.

    Args:
        source: "hf:owner/name".
        split: as the data set calls it.
        label: the column with the labels; the one of the type ClassLabel if not given.
        text: the column with texts.
        resize: pixels on a side of images; see :class:`byheart.data.images.Sizes`.

    Raises:
        InputError: the ``datasets`` package is not installed, or a label out of range.
        DataError: no such data set or split, it cannot be downloaded, or a column is missing.
    """
    name = source.removeprefix(HUB_PREFIX)
    if not name:
        raise InputError(f"data set '{source}': write {HUB_PREFIX}owner/name")
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
    features, image = table.features, None
    if text is None and any(isinstance(f, datasets.Image) for f in features.values()):
        image = _column(source, features, datasets.Image, "image")
    if label is None:
        label = _column(source, features, datasets.ClassLabel, "class label")
    names = getattr(features.get(label), "names", None)
    if image is not None:
        return _images(source, name, table, image, label, names, resize)
    from byheart.data.tables import from_frame

    return from_frame(name, table.to_pandas(), label, text=text, classes=names)


def _images(
    source: str,
    name: str,
    table: Any,
    image: str,
    label: str,
    classes: list[str] | None,
    resize: int | None,
) -> Dataset:
    images = list(table[image])
    for i, held in enumerate(images):
        if held is None:
            raise DataError(f"{source} row {i} holds no image: leave it out")
    sizes = Sizes.of(map(upright_size, images), resize)
    pixels = Pixels()
    for i, held in enumerate(images):
        try:
            pixels.add(f"{source} row {i}", to_pixels(held, sizes.side))
        except UnusableError as error:
            raise DataError(f"{source} row {i} {error}") from None
    dataset = Dataset.from_arrays(name, pixels.stacked(), np.asarray(list(table[label])), classes)
    note = sizes.note()
    return (
        dataset if note is None else replace(dataset, prepared=Preparation("images", notes=(note,)))
    )


def _column(source: str, features: dict[str, Any], kind: type, what: str) -> str:
    columns = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(columns) != 1:
        has = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise DataError(
            f"data set '{source}' has {len(columns)} {what} columns where one is needed; "
            f"it has {has}"
        )
    return columns[0]

"""Images: folders with one subfolder per class, and data sets of the Hugging Face hub."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, UnidentifiedImageError

from byheart.data.dataset import Dataset, from_file
from byheart.data.files import require_file, require_room
from byheart.data.preparation import Preparation
from byheart.errors import DataError, InputError
from byheart.texts import visible

HUB_PREFIX = "hf:"

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are tried for any file name: pillow would run an EPS file in Ghostscript."""
MOST_PIXELS = 2**24
"""Pixels of an image: no network takes more than 4096 x 4096, and a few bytes can claim more."""
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".webp"})
GREY = frozenset({"1", "L", "LA"})
DEEP = frozenset({"F", "I"})


def is_image_folder(folder: Path) -> bool:
    """Return whether a folder has subfolders, as a folder of images by class does."""
    return any(path.is_dir() for path in _visible(folder))


def load_image_folder(folder: Path, split: str) -> Dataset:
    """Load images of one size from ``folder/class/image``, or ``folder/split/class/image``.

    Classes are sorted by name. Grey images have shape [H, W]; if any has colours, all become RGB
    of shape [3, H, W]. Files that are no images by their ending are left out.

    Raises:
        DataError: a class without images, images that differ in size or cannot be read, or no
            such split.
    """
    root, paths = _root(folder, split), image_paths(folder, split)
    images = (open_image(path) for path in paths)
    pixels = stack_images(images, [str(path) for path in paths])
    classes = sorted({path.parent.name for path in paths})
    y = [classes.index(path.parent.name) for path in paths]
    files = [visible(str(path.relative_to(folder))) for path in paths]
    dataset = from_file(root, folder.resolve().name, pixels, y, classes)
    return replace(dataset, prepared=Preparation("images", pd.DataFrame({"file": files})))


def image_paths(folder: Path, split: str) -> list[Path]:
    """Return the images of a folder by class, in the order in which they are loaded.

    Raises:
        DataError: a class without images, or no such split.
    """
    return _paths(_root(folder, split))


def open_image(path: Path) -> Image.Image:
    """Read an image from a file, the first one if it holds several.

    Raises:
        DataError: the file is damaged, no image, or one of too many pixels.
    """
    require_file(path)
    try:
        # What pillow would only warn of either loads or is an error below.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            _require_few_pixels(path, image)
            image.load()
            return image.copy()
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{path} is no image that pillow can read as {', '.join(FORMATS)}: remove or repair it"
        ) from None
    except Exception as error:
        # What pillow raises of a damaged file is documented nowhere, and of a dozen kinds.
        raise DataError(f"{path} is a damaged image: {error or type(error).__name__}") from None


def _require_few_pixels(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise DataError(
            f"{path} has {image.width}x{image.height} pixels, where {MOST_PIXELS:,} are the most: "
            "make it smaller"
        )


def stack_images(
    images: Iterable[Image.Image | None], names: Iterable[str]
) -> npt.NDArray[np.uint8]:
    """Return images of one size as bytes ``[N, H, W]``, or ``[N, 3, H, W]`` if any has colours.

    Args:
        images: of 8 bits a channel; None where one is missing.
        names: what errors call each image.

    Raises:
        DataError: images that are missing, differ in size, have more than 8 bits a channel, or are
            more than a data set may take.
    """
    arrays: list[npt.NDArray[np.uint8]] = []
    first = ""
    for image, name in zip(images, names, strict=True):
        if image is None:
            raise DataError(f"{name} holds no image: leave it out")
        array = _pixels(image, name)
        first = first or name
        if arrays and array.shape[:2] != arrays[0].shape[:2]:
            raise DataError(
                f"{name} has {array.shape[1]}x{array.shape[0]} pixels but {first} has "
                f"{arrays[0].shape[1]}x{arrays[0].shape[0]}: give all images the same size"
            )
        arrays.append(array)
        require_room(name, (len(arrays), array.size))
    if all(array.ndim == 2 for array in arrays):
        return np.stack(arrays)
    coloured = [a if a.ndim == 3 else np.repeat(a[..., None], 3, axis=2) for a in arrays]
    return np.stack(coloured).transpose(0, 3, 1, 2)


def _pixels(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    if image.mode[0] in DEEP:
        raise DataError(f"{name} has more than 8 bits a channel: convert it to 8 bits")
    try:
        with warnings.catch_warnings(action="ignore"):
            return np.asarray(image.convert("L" if image.mode in GREY else "RGB"))
    except ValueError as error:
        raise DataError(f"{name} cannot be made grey or RGB: {error}: convert it") from None


def _root(folder: Path, split: str) -> Path:
    if (folder / "train").is_dir():
        if not (folder / split).is_dir():
            raise DataError(f"{folder} has no folder '{split}': put the {split} images there")
        return folder / split
    if split != "train":
        raise DataError(
            f"{folder} has no {split} part: make folders {folder}/train and {folder}/{split}"
        )
    return folder


def _paths(root: Path) -> list[Path]:
    paths = []
    for folder in filter(Path.is_dir, _visible(root)):
        images = [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]
        if not images:
            raise DataError(
                f"class folder {folder} holds no images (known endings: "
                f"{' '.join(sorted(SUFFIXES))}): fill or remove it"
            )
        paths += images
    if not paths:
        raise DataError(f"{root} holds no class folders: make one folder of images per class")
    return paths


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


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
    image = _column(source, table.features, datasets.Image, "image")
    label = _column(source, table.features, datasets.ClassLabel, "class label")
    pixels = stack_images(table[image], (f"{source} row {i}" for i in range(len(table))))
    labels = np.asarray(list(table[label]))
    return Dataset.from_arrays(name, pixels, labels, table.features[label].names)


def _column(source: str, features: dict[str, Any], kind: type, what: str) -> str:
    columns = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(columns) != 1:
        has = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise DataError(
            f"data set '{source}' has {len(columns)} {what} columns where one is needed; "
            f"it has {has}"
        )
    return columns[0]

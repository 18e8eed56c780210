"""A folder of images: one folder per class, with images of any size below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from byheart.data.dataset import Dataset, from_file
from byheart.data.images import Pixels, Sizes, UnusableError, read_pixels, size_of
from byheart.data.preparation import Preparation
from byheart.errors import DataError
from byheart.texts import visible

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
PHOTOS = frozenset({".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".nef", ".arw"})
"""Photos that cannot be read: they are named, since they are examples that are missing."""
SPLITS = ("train", "test")
MOST_NAMED = 20
"""Files that a note names."""


@dataclass
class _Files:
    """The images of a folder by class, and the files that are none.

    Attributes:
        folder: the folder.
        folders: the folder of each class.
        paths: images in the order of their classes.
        classes: class of each image.
        skipped: reason for each other file, by its path below the folder.
    """

    folder: Path
    folders: list[Path]
    paths: list[Path] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, path: Path, reason: str) -> None:
        """Note a file that is no example."""
        self.skipped[visible(str(path.relative_to(self.folder)))] = reason


def is_image_folder(folder: Path) -> bool:
    """Return whether a folder has subfolders, as a folder of images by class does."""
    return any(path.is_dir() for path in _unhidden(folder))


def load_image_folder(folder: Path, split: str, resize: int | None) -> Dataset:
    """Load images from ``folder/class/...``, or ``folder/split/class/...``.

    Classes are sorted by name; images may lie in folders within them. Grey images have shape
    [H, W]; if any has colours, all become RGB of shape [3, H, W]. Images of several sizes are
    brought to 64 pixels. Files that cannot be read are left out, and listed in
    ``dataset.prepared.skipped``.

    Args:
        folder: the folder.
        split: "train" or "test".
        resize: pixels on a side, to which all images are brought; None for the rule above.

    Raises:
        DataError: a class without an image that can be read, or no such split.
    """
    root = _root(folder, split)
    files = _files(folder, root)
    others = [path for part in SPLITS for path in _of_other_split(folder, part, root)]
    sizes = Sizes.of([*_sizes(files), *_readable_sizes(others)], resize)
    pixels, paths, classes = Pixels(), [], []
    for path, name in zip(files.paths, files.classes, strict=True):
        try:
            image = read_pixels(path, sizes.side)
        except UnusableError as error:
            files.skip(path, str(error))
            continue
        pixels.add(str(path), image)
        paths.append(visible(str(path.relative_to(folder))))
        classes.append(name)
    _require_images(files, classes)
    import pandas as pd

    prepared = Preparation(
        "images",
        pd.DataFrame({"file": paths}),
        notes=tuple(_notes(sizes, files, len(paths))),
        skipped=tuple(files.skipped.items()),
    )
    names = sorted(set(classes))
    y = [names.index(name) for name in classes]
    dataset = from_file(root, folder.resolve().name, pixels.stacked(), y, names)
    return replace(dataset, prepared=prepared)


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


def _files(folder: Path, root: Path) -> _Files:
    """Return all files below the class folders of ``root``."""
    found = _Files(folder, [path for path in _unhidden(root) if path.is_dir()])
    if not found.folders:
        raise DataError(f"{root} holds no class folders: make one folder of images per class")
    for path in _unhidden(root):
        if not path.is_dir():
            found.skip(path, "lies in no class folder")
    for directory in found.folders:
        for path in _below(directory):
            ending = path.suffix.lower()
            if ending in SUFFIXES:
                found.paths.append(path)
                found.classes.append(directory.name)
            elif ending in PHOTOS:
                found.skip(path, f"{ending} cannot be read: convert it to JPEG or PNG")
            else:
                found.skip(path, "is no image by its ending")
    return found


def _below(directory: Path) -> Iterator[Path]:
    """Yield the files in a folder, then those in its folders, each sorted by name."""
    inside = list(_unhidden(directory))
    yield from (path for path in inside if not path.is_dir())
    for path in inside:
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _of_other_split(folder: Path, part: str, root: Path) -> list[Path]:
    """Return the images of the other split: both must be brought to the same size."""
    other = folder / part
    if root == folder or other == root or not other.is_dir():
        return []
    return _files(folder, other).paths


def _sizes(files: _Files) -> list[tuple[int, int]]:
    """Return the size of each image, and skip those whose header cannot be read."""
    sizes, kept = [], []
    for path, name in zip(files.paths, files.classes, strict=True):
        try:
            sizes.append(size_of(path))
            kept.append((path, name))
        except UnusableError as error:
            files.skip(path, str(error))
    files.paths = [path for path, _ in kept]
    files.classes = [name for _, name in kept]
    return sizes


def _readable_sizes(paths: Sequence[Path]) -> Iterator[tuple[int, int]]:
    for path in paths:
        try:
            yield size_of(path)
        except UnusableError:
            continue


def _require_images(files: _Files, classes: Sequence[str]) -> None:
    """Refuse a class folder of which no image is left."""
    empty = [path for path in files.folders if path.name not in set(classes)]
    if not empty:
        return
    inside = [visible(f"{path.relative_to(files.folder)}/") for path in empty]
    unread = [
        f"{file} {why}" for file, why in files.skipped.items() if file.startswith(tuple(inside))
    ]
    reasons = f": {'; '.join(unread[:MOST_NAMED])}" if unread else ""
    raise DataError(
        f"class folder {', '.join(map(str, empty[:MOST_NAMED]))} holds no images that can be read "
        f"(known endings: {' '.join(sorted(SUFFIXES))}){reasons}: fill or remove it"
    )


def _notes(sizes: Sizes, files: _Files, read: int) -> Iterator[str]:
    """Yield what was done to the images and what was left out, one sentence each."""
    note = sizes.note()
    if note is not None:
        yield note
    others = [file for file, why in files.skipped.items() if why == "is no image by its ending"]
    if others:
        endings = Counter(Path(file).suffix.lower() or "without ending" for file in others)
        counts = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common())
        yield f"Left out, as no image by its ending: {counts}"
    unread = {file: why for file, why in files.skipped.items() if file not in set(others)}
    if unread:
        total = read + len(unread)
        named = [f"{file} {why}" for file, why in list(unread.items())[:MOST_NAMED]]
        more = f", and {len(unread) - MOST_NAMED:,} more" if len(unread) > MOST_NAMED else ""
        yield f"Left out, of {total:,} images: {len(unread):,} ({'; '.join(named)}{more})"


def _unhidden(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))

"""MNIST, Fashion-MNIST, and folders of IDX files like theirs.

An IDX file holds a magic number, the dimensions, then bytes; it is often gzipped.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from byheart.data.dataset import Dataset, from_file
from byheart.data.files import (
    Remote,
    fetch,
    find,
    read_up_to,
    require_file,
    require_hash,
    require_room,
)
from byheart.errors import DataError

_UNSIGNED_BYTE = 8
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PREFIXES = {"train": ("train",), "test": ("t10k", "test")}


@dataclass(frozen=True)
class Family:
    """A published data set of four IDX files.

    Attributes:
        mirrors: folders on the web that serve the gzipped files.
        classes: class names.
        pins: by file name without ".gz": SHA-256 of the file as served, and the published hash of
            its content, which is what files on disk are held to.
    """

    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    pins: dict[str, tuple[str, str]]


FAMILIES = {
    "mnist": Family(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        classes=tuple("0123456789"),
        pins={
            "train-images-idx3-ubyte": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            "train-labels-idx1-ubyte": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            "t10k-images-idx3-ubyte": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            "t10k-labels-idx1-ubyte": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        },
    ),
    "fashion-mnist": Family(
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
        classes=FASHION_CLASSES,
        pins={
            "train-images-idx3-ubyte": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
            ),
            "train-labels-idx1-ubyte": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "md5:9018921c3c673c538a1fc5bad174d6f9",
            ),
            "t10k-images-idx3-ubyte": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "md5:8181f5470baa50b63fa0f6fddb340f0a",
            ),
            "t10k-labels-idx1-ubyte": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "md5:15d484375f8d13e6eb1aabb0c3f46965",
            ),
        },
    ),
}


def load_family(name: str, split: str) -> Dataset:
    """Load MNIST or Fashion-MNIST, from disk if it is there, else from the web.

    Args:
        name: key of :data:`FAMILIES`.
        split: "train" (60,000 images) or "test" (10,000).

    Returns:
        Inputs of shape [28, 28].

    Raises:
        DataError: a file is missing and cannot be downloaded, is damaged or of the wrong hash.
    """
    family = FAMILIES[name]
    prefix = PREFIXES[split][0]
    arrays, paths = [], []
    for kind, ndim in (("images-idx3", 3), ("labels-idx1", 1)):
        stem = f"{prefix}-{kind}-ubyte"
        served, content = family.pins[stem]
        path = find(name, (f"{stem}.gz", stem))
        path = path or fetch(name, Remote(f"{stem}.gz", served, family.mirrors))
        arrays.append(read_idx(path, ndim, content_hash=content))
        paths.append(path)
    return _pair(name, arrays[0], arrays[1], paths[0], paths[1], family.classes)


def is_idx_folder(folder: Path) -> bool:
    """Return whether a folder holds IDX files by their names."""
    return any("-ubyte" in path.name for path in folder.iterdir())


def load_idx_folder(folder: Path, split: str) -> Dataset:
    """Load a folder of IDX files named like MNIST's, gzipped or not.

    Any text may stand before "train" or "t10k" ("emnist-letters-train-images-idx3-ubyte.gz").

    Raises:
        DataError: a file is missing, damaged or ambiguous, or images and labels do not match.
    """
    images = _only(folder, split, "images", 3)
    labels = _only(folder, split, "labels", 1)
    return _pair(folder.name, read_idx(images, 3), read_idx(labels, 1), images, labels, None)


def _only(folder: Path, split: str, kind: str, ndim: int) -> Path:
    ends = [
        f"{prefix}-{kind}{joint}idx{ndim}-ubyte"
        for prefix in PREFIXES[split]
        for joint in ("-", ".")
    ]
    files = {
        path.name.removesuffix(".gz"): path
        for path in sorted(folder.iterdir(), reverse=True)
        if path.name.removesuffix(".gz").endswith(tuple(ends))
    }
    if not files:
        raise DataError(
            f"{folder} holds no file {ends[0]} or {ends[0]}.gz: put the {split} {kind} there"
        )
    if len(files) > 1:
        names = " and ".join(path.name for path in files.values())
        raise DataError(f"{folder} holds {names}: keep the files of one data set in a folder")
    return next(iter(files.values()))


def _pair(
    name: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    images_path: Path,
    labels_path: Path,
    classes: tuple[str, ...] | None,
) -> Dataset:
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels: "
            "they are not of one data set"
        )
    return from_file(images_path, name, images, labels, classes)


def read_idx(path: Path, ndim: int, *, content_hash: str | None = None) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Never reads more than the header announces, nor that if it is more than a data set may take.

    Args:
        path: the file.
        ndim: dimensions it must have: 3 for images, 1 for labels.
        content_hash: "sha256:..." or "md5:...", the hash its *content* (unzipped) must have; not
            checked if None. The hash of a .gz file would change with whoever compressed it.

    Returns:
        The array, of the shape the header gives.

    Raises:
        DataError: the file is missing, damaged, truncated, too long, too large for a data set, of
            another hash, or not IDX.
    """
    with _open(path) as file:
        header = file.read(4 + 4 * ndim)
        shape = _shape(path, header, ndim)
        require_room(path, shape)
        content = _read(file, path, math.prod(shape))
        if file.read(1):
            raise DataError(
                f"{path} goes on after the {math.prod(shape)} bytes its header announces: "
                "it is damaged, or two files in one"
            )
    if content_hash is not None:
        algorithm = content_hash.partition(":")[0]
        digest = hashlib.new(algorithm, header, usedforsecurity=False)
        digest.update(content)
        require_hash(path, content_hash, f"{algorithm}:{digest.hexdigest()}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, ndim: int) -> tuple[int, ...]:
    if len(header) < 4 or header[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise DataError(
            f"{path} is no IDX file of bytes: it starts with {header[:4].hex() or 'nothing'}, "
            f"not 000008{ndim:02x}"
        )
    if header[3] != ndim:
        raise DataError(f"{path} has {header[3]} dimensions where {ndim} were expected")
    if len(header) < 4 + 4 * ndim:
        raise DataError(f"{path} is truncated: it ends within its header")
    return tuple(int(d) for d in np.frombuffer(header, dtype=">u4", offset=4))


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    require_file(path)
    try:
        with path.open("rb") as raw:
            # By content, not by name: browsers unzip downloads and leave the name.
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(raw) as file:
                    yield cast(BinaryIO, file)
            else:
                yield raw
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip stream ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read(file: BinaryIO, path: Path, size: int) -> bytearray:
    content = read_up_to(file, size)
    if len(content) < size:
        raise DataError(
            f"{path} is truncated: its header announces {size} bytes, it holds {len(content)}"
        )
    return content

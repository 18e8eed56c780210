"""A .npz file with x and y: read by its headers, so that nothing in it is run or believed."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from byheart.data.dataset import Dataset, from_file
from byheart.data.files import read_up_to, require_room
from byheart.errors import DataError

KEYS = {
    "train": (("x", "y"), ("x_train", "y_train")),
    "test": (("x_test", "y_test"),),
}
ENDING = ".npy"
_NUMPYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods of numpy. Others may need gigabytes to unpack a byte."""
_NAMED = 8
"""Arrays of a file that an error names."""

Array = npt.NDArray[Any]


def load_npz(path: Path, split: str) -> Dataset:
    """Load arrays "x" and "y", and class names from "classes" where there are any.

    "x_train" and "y_train" will do as well; a test part is called "x_test" and "y_test", and is
    scaled like the training part. Objects are refused: reading them would run code from the file.

    Raises:
        DataError: the file is damaged, lacks an array, holds objects, claims more than a data set
            may take, or is no data set.
    """
    try:
        x, y, classes, like = _read(path, split)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    except (OSError, MemoryError, RuntimeError, ValueError, SyntaxError, TypeError) as error:
        # zipfile raises RuntimeError where a file is encrypted, numpy the last three of a header.
        raise DataError(f"{path} cannot be read: {error}") from None
    return from_file(path, path.stem, x, y, classes, like=like)


def _read(path: Path, split: str) -> tuple[Array, Array, list[str] | None, Array | None]:
    """Return inputs, labels, names of classes, and the inputs that decide how to scale."""
    with path.open("rb") as raw:
        if raw.peek(2)[:2] != b"PK":
            raise DataError(f"{path} is no .npz file: save arrays x and y with numpy.savez")
        with zipfile.ZipFile(raw) as archive:
            has = [name.removesuffix(ENDING) for name in archive.namelist()]
            x, y = _keys(path, has, split)
            classes = None
            if "classes" in has:
                classes = [str(name) for name in _array(archive, path, "classes").reshape(-1)]
            inputs, labels = _array(archive, path, x), _array(archive, path, y)
            trained = next((name for name, _ in KEYS["train"] if name in has), x)
            like = _array(archive, path, trained) if trained != x and split == "test" else None
            return inputs, labels, classes, like


def _array(archive: zipfile.ZipFile, path: Path, name: str) -> Array:
    """Return an array of an archive; see ``numpy.lib.format`` for what its bytes mean."""
    entry = archive.getinfo(f"{name}{ENDING}")
    if entry.compress_type not in _NUMPYS:
        raise ValueError(f"array {name} has a compression that is not numpy's")
    with archive.open(entry) as opened:
        file = cast(BinaryIO, opened)
        # Versions 2 and 3 are for arrays with field names, and their headers may have any length.
        if npy.read_magic(file) != (1, 0):
            raise ValueError(f"array {name} is not of version 1.0 of numpy's format")
        shape, by_column, dtype = npy.read_array_header_1_0(file)
        if dtype.hasobject:
            raise ValueError(
                f"array {name}: it holds Python objects, which are refused; save arrays of numbers"
            )
        require_room(path, shape, dtype.itemsize)
        size = math.prod(shape) * dtype.itemsize
        content = read_up_to(file, size)
        # To the end of the member, where its checksum is compared.
        if len(content) != size or file.read(1):
            raise ValueError(f"array {name} does not hold what its header says")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T if by_column else flat.reshape(shape)


def _keys(path: Path, has: list[str], split: str) -> tuple[str, str]:
    for x, y in KEYS[split]:
        if x in has and y in has:
            return x, y
    wanted = " or ".join(f"'{x}' and '{y}'" for x, y in KEYS[split])
    more = f" and {len(has) - _NAMED} more" if len(has) > _NAMED else ""
    names = ", ".join(has[:_NAMED]) or "nothing"
    raise DataError(f"{path} holds {names}{more}: it must hold arrays {wanted}")

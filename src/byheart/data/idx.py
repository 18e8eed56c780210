"""The IDX format of MNIST: a magic number, the dimensions, then bytes; often gzipped."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from byheart.data.files import require_hash
from byheart.data.limits import read_up_to, require_file, require_room
from byheart.errors import DataError

_UNSIGNED_BYTE = 8


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

"""Files of data sets: where they lie, how they are downloaded, and how much they may hold."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pooch

from byheart.errors import DataError, InputError

FOLDER_VARIABLE = "BYHEART_DATA"
LIMIT_VARIABLE = "BYHEART_MOST_GIB"
USUAL_LIMIT = 4.0
"""GiB that the inputs of a data set may take: 1.3 million images of 28 x 28 pixels."""
_FLOAT_BYTES = 4
"""Size of each number of an input in memory, in bytes, whatever its size in the file."""
_CHUNK = 2**20


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded.

    Attributes:
        name: file name.
        sha256: hash of the file as it is served.
        mirrors: folders on the web that serve it, without a slash at the end; tried in order.
    """

    name: str
    sha256: str
    mirrors: tuple[str, ...]


def folders(dataset: str) -> list[Path]:
    """Return the folders in which files of a data set are looked for, in order.

    Raises:
        DataError: ``BYHEART_DATA`` is set, but names no folder.
    """
    cache = Path(pooch.os_cache("byheart")) / dataset
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return [cache]
    if not Path(named).is_dir():
        raise DataError(
            f"{FOLDER_VARIABLE} names '{named}', which is no folder: create it or unset it"
        )
    return [Path(named) / dataset, cache]


def find(dataset: str, names: Sequence[str]) -> Path | None:
    """Return the first of ``names`` that lies in one of the folders, or None."""
    paths = (folder / name for folder in folders(dataset) for name in names)
    return next((path for path in paths if path.exists()), None)


def fetch(dataset: str, remote: Remote) -> Path:
    """Download a file and verify its hash.

    It goes to the folder that ``BYHEART_DATA`` names if that can be written, else to the cache.

    Raises:
        DataError: no mirror gave the right file. The message says which file, which folders were
            searched, and how to put it there by hand.
    """
    searched = folders(dataset)
    target = searched[0] if os.access(searched[0].parent, os.W_OK) else searched[-1]
    problems = []
    for mirror in remote.mirrors:
        try:
            path = pooch.retrieve(
                f"{mirror}/{remote.name}",
                known_hash=f"sha256:{remote.sha256}",
                fname=remote.name,
                path=target,
            )
        except ValueError:
            problems.append(f"{mirror} serves a file of another hash than {remote.sha256}")
        except OSError as error:
            problems.append(f"{mirror}: {type(error).__name__}")
        else:
            return Path(path)
    places = " and ".join(str(folder) for folder in searched)
    raise DataError(
        f"{dataset}: no file {remote.name} in {places}, and the download failed "
        f"({'; '.join(problems)}): get {remote.mirrors[0]}/{remote.name} and put it into "
        f"<folder>/{dataset}/, with {FOLDER_VARIABLE}=<folder>"
    )


def require_hash(path: Path, expected: str, actual: str) -> None:
    """Refuse a file whose hash is not the pinned one.

    Raises:
        DataError: the hashes differ. The message names both.
    """
    if actual != expected:
        raise DataError(
            f"{path} is not the file it should be: its content hash is {actual}, "
            f"not {expected}; remove it to have it downloaded again"
        )


def most_bytes() -> float:
    """Return how many bytes the inputs of a data set may take in memory.

    Raises:
        InputError: ``BYHEART_MOST_GIB`` is set, and is no number above 0.
    """
    named = os.environ.get(LIMIT_VARIABLE, "")
    try:
        gib = float(named) if named else USUAL_LIMIT
    except ValueError:
        gib = math.nan
    if not gib > 0:
        raise InputError(
            f"{LIMIT_VARIABLE} is '{named}': set it to a number of GiB above 0, or unset it"
        )
    return gib * 2**30


def require_room(path: Path | str, shape: Sequence[int], itemsize: int = _FLOAT_BYTES) -> None:
    """Refuse a file that claims too much, before any memory is reserved for it.

    A few kilobytes can claim terabytes; a compressed file can even deliver a thousand times its
    size.

    Args:
        path: the file.
        shape: that it claims.
        itemsize: bytes of one number in the file.

    Raises:
        DataError: it claims more than a data set may take.
    """
    if math.prod(shape) * max(itemsize, _FLOAT_BYTES) > most_bytes():
        raise DataError(
            f"{path} claims to hold more than the {most_bytes() / 2**30:g} GiB that a data set may "
            f"take in memory: if it is yours and right, set {LIMIT_VARIABLE} to more"
        )


def require_file(path: Path) -> None:
    """Refuse what only looks like a file: reading a pipe or a device would never end.

    Raises:
        DataError: the path exists and is no regular file.
    """
    if path.exists() and not path.is_file():
        what = "Is a directory" if path.is_dir() else "it is a pipe or a device"
        raise DataError(f"{path} cannot be read: {what}: put a file there")


def read_up_to(file: BinaryIO, size: int) -> bytearray:
    """Return the next ``size`` bytes, fewer where the file ends; memory grows as bytes arrive."""
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(_CHUNK, size - len(content)))
        if not piece:
            break
        content += piece
    return content

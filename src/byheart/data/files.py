"""Where files of a data set are looked for, and how they are downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch

from byheart.errors import DataError

VARIABLE = "BYHEART_DATA"


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
    named = os.environ.get(VARIABLE)
    if not named:
        return [cache]
    if not Path(named).is_dir():
        raise DataError(f"{VARIABLE} names '{named}', which is no folder: create it or unset it")
    return [Path(named) / dataset, cache]


def find(dataset: str, names: Sequence[str]) -> Path | None:
    """Return the first of ``names`` that lies in one of the folders, or None."""
    for folder in folders(dataset):
        for name in names:
            if (folder / name).exists():
                return folder / name
    return None


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
        f"<folder>/{dataset}/, with {VARIABLE}=<folder>"
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

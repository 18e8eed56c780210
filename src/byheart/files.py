"""Atomic file writes: readers see the old file or the new one, never half of both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from byheart.errors import StoreError

RESULTS = {"study": "findings.json", "audit": "audit.json", "advise": "advice.json"}
"""The file that each command leaves in its output folder, and no other one does."""


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one step.

    Args:
        path: the file; missing folders are made.
        text: written as UTF-8.

    Returns:
        ``path``.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file in one step; see :func:`write_text`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot write '{path}': {reason}; free some space or choose another folder"
        ) from error
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of ``path`` at the end, if nothing was raised.

    Args:
        path: in a folder that exists.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    # In the same folder, since a rename across file systems is a copy and not one step.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # The name may hold a link that another user has put there: never write through it.
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def require_folder(folder: Path, command: str) -> None:
    """Check that a command can write to a folder, or make it, before any work is done for it.

    Every command has a page of the same name, so one must not write over another's.

    Args:
        folder: the output folder.
        command: study, audit or advise.

    Raises:
        StoreError: it cannot be written, or holds the results of another command.
    """
    for other, file in RESULTS.items():
        if other != command and (folder / file).exists():
            raise StoreError(
                f"'{folder}' holds the results of `byheart {other}`: choose another folder "
                "with --out"
            )
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise StoreError(f"'{folder}' cannot be made: '{nearest}' is a file; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(
            f"'{folder}' cannot be written ('{nearest}' is read-only): choose another folder with "
            "--out"
        )

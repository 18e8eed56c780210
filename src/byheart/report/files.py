"""Files that are either the old one or the new one, never half of both."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from byheart.errors import StoreError
from byheart.studies.finding import Finding


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one step: readers see the old file or the new one.

    Args:
        path: where to; folders that do not exist are made.
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
        _replace(path, data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot write '{path}': {reason}; free some space or choose another folder"
        ) from error
    return path


def write_findings(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write ``findings.json``, the list of all findings, and return its path.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    rows = [finding.as_json() for finding in findings]
    text = json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_text(folder / "findings.json", text)


def require_writable(folder: Path) -> None:
    """See that a folder can be written or made, before any work is done for it.

    Raises:
        StoreError: it cannot.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise StoreError(f"'{folder}' cannot be made: '{nearest}' is a file; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(f"'{nearest}' cannot be written: choose another folder")


def _replace(path: Path, data: bytes) -> None:
    # In the same folder, since a rename across file systems is a copy and not one step.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Anew, since what lies there already may be a link that somebody else has put there.
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

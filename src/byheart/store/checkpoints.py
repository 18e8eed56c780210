"""Checkpoints of unfinished training, in a folder: written now and then, read on resuming.

Finished work is in the store. This is for packs that still train, in an audit or in advise.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byheart.files import write_bytes

EVERY = 10.0
"""Seconds between two checkpoints, at least: an interruption loses about so much training."""
SHARE = 0.05
"""Largest share of time that writing may take; slow writes happen less often."""
SUFFIX = ".pack"


class Checkpoints:
    """A folder with one file per pack.

    The name of a file is the hash of the facts that decide the results of its pack. The file begins
    with the hash of its content. So a checkpoint of other facts is never found, and a damaged one
    is ignored: its pack is trained again.

    Args:
        folder: made with the first checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cost = 0.0
        self._last = time.monotonic()

    def read(self, facts: Mapping[str, Any]) -> bytes | None:
        """Return the content for some facts; None if there is none, or it is damaged."""
        try:
            file = self._path(facts).read_bytes()
        except OSError:
            # The next write says what is wrong with the folder.
            return None
        digest, content = file[:32], file[32:]
        return content if hashlib.sha256(content).digest() == digest else None

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return time.monotonic() - self._last >= max(EVERY, self._cost / SHARE)

    def write(self, facts: Mapping[str, Any], content: bytes) -> None:
        """Replace the checkpoint of some facts, in one step.

        Raises:
            StoreError: the folder cannot be written, or the disk is full.
        """
        start = time.monotonic()
        write_bytes(self._path(facts), hashlib.sha256(content).digest() + content)
        self._last = time.monotonic()
        self._cost = self._last - start

    def remove(self, facts: Mapping[str, Any]) -> None:
        """Remove the checkpoint of some facts, and the folder if it is empty."""
        self._path(facts).unlink(missing_ok=True)
        _remove_if_empty(self._folder)

    def _path(self, facts: Mapping[str, Any]) -> Path:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=float)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{SUFFIX}"


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints from a folder, and the folder if nothing else is in it."""
    for path in checkpoint_files(folder):
        path.unlink(missing_ok=True)
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

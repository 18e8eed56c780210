"""What is kept of trainings that are under way, so that an interruption costs seconds."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from byheart.files import write_bytes

EVERY = 10.0
"""Seconds of training that an interruption may cost, at least."""
SHARE = 0.05
"""Of the time, that keeping may take: where it takes long, it is done less often."""
SUFFIX = ".pack"


class Keeping:
    """A folder with the state of every pack that trains, or has trained, for one audit.

    A file is named by the hash of all that decides what the pack becomes, and holds the hash of its
    own content: what does not fit is not found, and what was damaged is trained again.

    Args:
        folder: made when the first state is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cost = 0.0
        self._last = time.monotonic()

    def found(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the state that was kept under some facts; None if there is none that is whole."""
        try:
            held = self._path(facts).read_bytes()
        except OSError:
            # What cannot be read is trained anew; to keep that says what is wrong with the folder.
            return None
        digest, data = held[:32], held[32:]
        if hashlib.sha256(data).digest() != digest:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        return state

    def due(self) -> bool:
        """Return whether it is time to keep again."""
        return time.monotonic() - self._last >= max(EVERY, self._cost / SHARE)

    def keep(self, facts: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Keep a state in the place of the one before: whole, or not at all.

        Raises:
            StoreError: the folder cannot be written, or the disk is full.
        """
        begun, buffer = time.monotonic(), io.BytesIO()
        torch.save(dict(state), buffer)
        data = buffer.getvalue()
        write_bytes(self._path(facts), hashlib.sha256(data).digest() + data)
        self._last = time.monotonic()
        self._cost = self._last - begun

    def _path(self, facts: Mapping[str, Any]) -> Path:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=float)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{SUFFIX}"


def kept_in(folder: Path) -> list[Path]:
    """Return the files that :class:`Keeping` left in a folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def forget(folder: Path) -> None:
    """Remove what :class:`Keeping` left in a folder, and the folder if nothing else is in it."""
    for path in kept_in(folder):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def digest_of(*arrays: Any) -> str:
    """Return the hash of tensors or arrays: their types, shapes and bytes."""
    digest = hashlib.sha256()
    for one in arrays:
        tensor = torch.as_tensor(one).detach().cpu().contiguous()
        digest.update(f"{tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""Facts as canonical text, arrays as checksummed bytes, and the seal over a whole record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from byheart.record import Record
from byheart.trial import Trial

SEALED = ("outcome", "epochs", "seconds", "threads", "device", "reason")
"""Columns that say how a trial ended."""


class StoredArray(NamedTuple):
    """An array as it lies in the file: little-endian, C order, never pickled."""

    dtype: str
    shape: str
    checksum: str
    data: bytes


def facts_text(trial: Trial) -> str:
    """Return the canonical JSON of a trial's facts: the text whose hash is its key."""
    return json.dumps(trial.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def facts_key(text: str) -> str:
    """Return the key that facts written by :func:`facts_text` must have.

    Unlike ``Trial(...).key`` this also works for facts that this version no longer knows.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def encode(array: np.ndarray) -> StoredArray:
    """Return an array as bytes with its checksum.

    Raises:
        TypeError: the array holds something else than booleans, integers or floats.
    """
    if array.dtype.kind not in "biuf":
        raise TypeError(f"only booleans, integers and floats are stored, not {array.dtype}")
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    dtype, shape, data = little.dtype.str, json.dumps(little.shape), little.tobytes()
    return StoredArray(dtype, shape, _checksum(dtype, shape, data), data)


def decode(stored: StoredArray) -> np.ndarray:
    """Return the array, read-only.

    Raises:
        ValueError: the bytes are not those that were written.
    """
    if _checksum(stored.dtype, stored.shape, stored.data) != stored.checksum:
        raise ValueError("its checksum does not match")
    return np.frombuffer(stored.data, dtype=stored.dtype).reshape(json.loads(stored.shape))


def seal(key: str, ended: Mapping[str, Any], checksums: Mapping[str, str]) -> str:
    """Return the checksum over how a trial ended and over the checksums of all its arrays.

    A changed outcome, a lost array and one too many all break it.

    Args:
        key: key of the trial.
        ended: the columns named by :data:`SEALED`.
        checksums: checksum of each array, by name.
    """
    values = [ended[column] for column in SEALED]
    text = json.dumps([key, values, sorted(checksums.items())], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stamp(*values: str | int) -> str:
    """Return the checksum over what lies in a row beside facts and arrays: when, what was asked."""
    text = json.dumps(values, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def ending(record: Record) -> dict[str, Any]:
    """Return how a trial ended, by the columns named in :data:`SEALED`.

    The types are those that SQLite gives back, so that the seal is over the same text.
    """
    return {
        "outcome": record.outcome,
        "epochs": int(record.epochs),
        "seconds": float(record.seconds),
        "threads": int(record.threads),
        "device": record.device,
        "reason": record.reason,
    }


def _checksum(dtype: str, shape: str, data: bytes) -> str:
    digest = hashlib.blake2b(f"{dtype} {shape} ".encode(), digest_size=16)
    digest.update(data)
    return digest.hexdigest()

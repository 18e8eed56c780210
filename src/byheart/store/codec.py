"""Facts as canonical text, arrays as checksummed bytes, and a checksum over each record."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import numpy as np

from byheart.record import Outcome, Record
from byheart.trial import Trial

SEALED = ("outcome", "epochs", "seconds", "threads", "device", "reason")
"""Columns that say how a trial ended."""

_TYPES = dict(zip(SEALED, (str, int, float, int, str, str), strict=True))
_DTYPE = re.compile(r"[<|][biuf]\d{1,2}")
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)


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
        ValueError: the checksum does not match, or byheart never writes such an array: whoever
            makes a file can make its checksums too.
    """
    if not all(isinstance(value, str) for value in stored[:3]) or type(stored.data) is not bytes:
        raise ValueError("it is of another type")
    if _checksum(stored.dtype, stored.shape, stored.data) != stored.checksum:
        raise ValueError("its checksum does not match")
    if not _DTYPE.fullmatch(stored.dtype):
        raise ValueError("it holds something else than booleans, integers and floats")
    return np.frombuffer(stored.data, dtype=np.dtype(stored.dtype)).reshape(_shape(stored.shape))


def require_name(name: Any) -> str:
    """Return the name of an array, which names a file inside an exported archive.

    Raises:
        ValueError: no array is called so: as a path it could lead out of the folder.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is not the name of an array")
    return name


def seal(key: str, ended: Mapping[str, Any], checksums: Mapping[str, str]) -> str:
    """Return the checksum over how a trial ended and over the checksums of all its arrays.

    It no longer matches if the outcome changes, or if an array is lost or added.

    Args:
        key: key of the trial.
        ended: the columns named by :data:`SEALED`.
        checksums: checksum of each array, by name.
    """
    values = [ended[column] for column in SEALED]
    text = json.dumps([key, values, sorted(checksums.items())], separators=(",", ":"))
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


def require_ended(ended: Mapping[str, Any]) -> None:
    """Check the columns that say how a trial ended.

    Raises:
        ValueError: a value has another type, or a number is negative or not finite.
    """
    for name, value in ended.items():
        known = isinstance(value, _TYPES[name]) and not isinstance(value, bool)
        if not known or (isinstance(value, int | float) and not 0 <= value < math.inf):
            raise ValueError(f"its {name} is not valid")
    if ended["outcome"] not in get_args(Outcome):
        raise ValueError("its outcome is not known")


def _shape(text: str) -> tuple[int, ...]:
    sizes = re.findall(r"\d{1,18}", text)
    if json.dumps([int(size) for size in sizes]) != text:
        raise ValueError("its shape is not valid")
    return tuple(map(int, sizes))


def _checksum(dtype: str, shape: str, data: bytes) -> str:
    digest = hashlib.blake2b(f"{dtype} {shape} ".encode(), digest_size=16)
    digest.update(data)
    return digest.hexdigest()

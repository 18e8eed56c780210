"""The safetensors format: a header in JSON that says where each tensor's bytes lie.

Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import NonNegativeInt, TypeAdapter, ValidationError
from torch import Tensor

from byheart.errors import InputError

MOST_HEADER = 100_000_000
"""Bytes of a header, as the format limits them."""
_LENGTH = 8
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


class _Entry(NamedTuple):
    """Where a tensor lies behind the header, and what it is."""

    dtype: str
    shape: list[NonNegativeInt]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


_ENTRY: TypeAdapter[_Entry] = TypeAdapter(_Entry)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, by name.

    Raises:
        InputError: the file is damaged, or is of another format.
    """
    try:
        content = path.read_bytes()
        end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        if len(content) < _LENGTH or end > min(len(content), MOST_HEADER):
            raise ValueError("its header is longer than the file")
        header = json.loads(content[_LENGTH:end])
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        header.pop("__metadata__", None)
        data = bytearray(content[end:])
        return {name: _tensor(data, name, entry) for name, entry in header.items()}
    except (OSError, ValueError, RecursionError) as error:
        reason = "a field is missing or wrong" if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path}: not a safetensors file, or damaged: {reason}: save it again"
        ) from error


def _tensor(data: bytearray, name: str, entry: Any) -> Tensor:
    dtype_name, shape, (start, stop) = _ENTRY.validate_python(entry, strict=False)
    dtype = _DTYPES.get(dtype_name)
    if dtype is None:
        raise ValueError(f"tensor {name} is of type {dtype_name}, known are {', '.join(_DTYPES)}")
    size = math.prod(shape) * dtype.itemsize
    if stop - start != size or stop > len(data):
        raise ValueError(f"tensor {name} does not have the bytes that its shape needs")
    if size == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start).reshape(shape)

"""Reading a checkpoint: tensors and plain values, and no code that somebody put into it."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from byheart.errors import InputError
from byheart.networks.safetensors import read_safetensors

_LOOK = 2**20
"""Bytes of a pickle in which names are looked for."""
_NAMED = 3
_HARMLESS = ("torch", "collections")
_SAVE = "save it again with torch.save(model.state_dict(), path)"


def read_checkpoint(path: Path) -> Any:
    """Return what a checkpoint holds, without running any code that it may hold.

    Args:
        path: what ``torch.save`` wrote, or a ``.safetensors`` file.

    Raises:
        InputError: there is no such file, it is damaged, or it holds anything but tensors and plain
            values; what it would have called is named.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        zipped = _is_plain_zip(path)
        with warnings.catch_warnings(action="ignore"):
            # Mapped, a tensor is a part of the file and can be no larger, whatever is claimed.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: it holds more than weights{_called(path, error)}, and loading it could run "
            f"code: {_SAVE}"
        ) from error
    except InputError:
        raise
    except Exception as error:
        # What torch raises of a damaged file is documented nowhere, and of a dozen kinds.
        raise InputError(f"{path}: not a checkpoint that torch can read, or damaged") from error


def _is_plain_zip(path: Path) -> bool:
    """Return whether a file is a zip as torch writes them: what is within is not compressed.

    Raises:
        InputError: it is another one, which a few kilobytes could make as large as they like.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
            raise InputError(f"{path}: it is compressed, which torch never does: {_SAVE}")
    return True


def _called(path: Path, error: pickle.UnpicklingError) -> str:
    """Return what a pickle would have called, in parentheses, as far as that can be told."""
    _, found, rest = str(error).partition("GLOBAL ")
    names = rest.split()[:1] if found else list(dict.fromkeys(_globals(path)))[:_NAMED]
    return f" ({', '.join(names)})" if names else ""


def _globals(path: Path) -> list[str]:
    """Return what a bare pickle names beside tensors and dicts; nothing of it is run.

    torch does not read pickles of protocol 4 and newer, and so does not say.
    """
    words, found = ["", ""], []
    with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
        for code, argument, _ in pickletools.genops(path.read_bytes()[:_LOOK]):
            if code.name == "STACK_GLOBAL" and not words[-2].startswith(_HARMLESS):
                found.append(".".join(words[-2:]))
            elif isinstance(argument, str):
                words.append(argument)
    return found

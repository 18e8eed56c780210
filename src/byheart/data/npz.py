"""A .npz file with x and y."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byheart.data.assemble import assemble, from_bytes
from byheart.data.dataset import Dataset
from byheart.errors import DataError

KEYS = {
    "train": (("x", "y"), ("x_train", "y_train")),
    "test": (("x_test", "y_test"),),
}


def load_npz(path: Path, split: str) -> Dataset:
    """Load arrays "x" and "y", and class names from "classes" where there are any.

    "x_train" and "y_train" will do as well; a test part is called "x_test" and "y_test". Bytes
    (uint8) are divided by 255; anything else must be in [0, 1] already. Objects are refused:
    reading them would run code from the file.

    Raises:
        DataError: the file is damaged, lacks an array, holds objects, or is no data set.
    """
    try:
        x, y, classes = _read(path, split)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    except (OSError, MemoryError, RuntimeError) as error:
        # zipfile raises RuntimeError where a file is encrypted or compressed in a way it lacks.
        raise DataError(f"{path} cannot be read: {error}") from None
    inputs = from_bytes(x) if x.dtype == np.uint8 else x
    return assemble(path, path.stem, inputs, _flat(y), classes)


def _read(path: Path, split: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any], list[str] | None]:
    # Opened here, since numpy leaves a damaged file open.
    with path.open("rb") as raw:
        if raw.peek(2)[:2] != b"PK":
            raise DataError(f"{path} is no .npz file: save arrays x and y with numpy.savez")
        with np.load(raw, allow_pickle=False) as file:
            x, y = _keys(path, file.files, split)
            classes = [str(c) for c in file["classes"]] if "classes" in file.files else None
            return file[x], file[y], classes


def _keys(path: Path, has: list[str], split: str) -> tuple[str, str]:
    for x, y in KEYS[split]:
        if x in has and y in has:
            return x, y
    wanted = " or ".join(f"'{x}' and '{y}'" for x, y in KEYS[split])
    raise DataError(f"{path} holds {', '.join(has) or 'nothing'}: it must hold arrays {wanted}")


def _reason(error: ValueError) -> str:
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return "it holds Python objects, which are refused; save arrays of numbers"
    return str(error).splitlines()[0]


def _flat(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Keras and scikit-learn write labels as a column now and then.
    return y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y

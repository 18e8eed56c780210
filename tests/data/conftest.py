"""Small files in the formats of the real data sets."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from byheart.data import Dataset

Bytes = npt.NDArray[np.uint8]


def idx_bytes(array: Bytes) -> bytes:
    """Return an array in the IDX format, as its specification reads."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def write_idx() -> Callable[..., Path]:
    def write(path: Path, array: Bytes, *, zipped: bool = True) -> Path:
        content = idx_bytes(array)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if zipped else content)
        return path

    return write


@pytest.fixture
def pictures() -> tuple[Bytes, Bytes]:
    """Thirty images of 5 x 4 pixels, in three classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(30, 5, 4), dtype=np.uint8)
    return images, (np.arange(30) % 3).astype(np.uint8)


@pytest.fixture
def toy() -> Dataset:
    """Sixty examples of shape [4, 4] in four classes of unequal size."""
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(4), (12, 14, 16, 18))
    return Dataset.from_arrays("toy", rng.random((60, 4, 4)), rng.permutation(y))


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that BYHEART_DATA names, beside an empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("BYHEART_DATA", str(folder))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine without a network; the list fills with the addresses that were tried."""
    tried: list[str] = []

    def fail(url: str, **_: object) -> str:
        tried.append(url)
        raise ConnectionError("no network")

    monkeypatch.setattr("pooch.retrieve", fail)
    return tried

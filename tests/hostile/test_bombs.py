"""A few bytes that claim, or unpack to, more memory than there is; files that never end."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.hostile import samples

from byheart.data import load_dataset
from byheart.errors import DataError

LITTLE = 32 * 2**20
"""Bytes that a refusal may take."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a data set take 8 MiB: a bomb is then made in a moment."""
    monkeypatch.setenv("BYHEART_MOST_GIB", str(2**-7))


def refused(source: Path, message: str) -> None:
    """See that a source is refused, and that this takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            load_dataset(source)
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


def idx_folder(folder: Path, images: bytes) -> Path:
    labels = samples.idx_files()[1]
    return samples.class_folder(
        folder, {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    )


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_idx_header_that_claims_terabytes_sets_nothing_aside(
    tmp_path: Path, packed: Callable[[bytes], bytes]
) -> None:
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**20, 2**10, 2**10)
    refused(idx_folder(tmp_path, packed(header + bytes(99))), "more than the 4 GiB")


@pytest.mark.usefixtures("small")
def test_a_gzip_bomb_is_unpacked_no_further_than_a_data_set_may_be(tmp_path: Path) -> None:
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**10, 2**9, 2**9)
    refused(idx_folder(tmp_path, gzip.compress(header + bytes(2**26), 1)), "more than the 0.0078")
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 3, 2, 1)
    refused(idx_folder(tmp_path, gzip.compress(header + bytes(2**26), 1)), "goes on after the 6")


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(shape: object, dtype: str = "<f8", content: bytes = b"") -> bytes:
    """Return an array in numpy's format with any header."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (2**62, 2**62), (10**999, 3)])
def test_an_npz_header_that_claims_terabytes_sets_nothing_aside(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    refused(npz(tmp_path / "x.npz", x=npy(shape), y=npy((4,))), "more than the 4 GiB")


@pytest.mark.usefixtures("small")
def test_a_zip_bomb_is_unpacked_no_further_than_a_data_set_may_be(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", x=npy((2**25,), content=bytes(2**26)), y=npy((4,)))
    refused(path, "more than the 0.0078")
    path = npz(tmp_path / "x.npz", x=npy((2, 2), content=bytes(2**26)), y=npy((4,)))
    refused(path, "does not hold what its header says")


def test_a_header_of_any_length_is_not_read(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26) + bytes(2**26)
    refused(npz(tmp_path / "x.npz", x=header, y=npy((4,))), "not of version 1.0")


def test_class_names_of_a_gigabyte_each_are_refused(tmp_path: Path) -> None:
    x, y = npy((2, 1), content=bytes(16)), npy((2,), "<i8", struct.pack("<qq", 0, 1))
    names = npy((3,), f"<U{2**29 - 1}")
    refused(npz(tmp_path / "x.npz", x=x, y=y, classes=names), "more than the 4 GiB")


def png(width: int, height: int, rows: int = 0) -> bytes:
    """Return a grey picture that claims a size and holds so many rows of zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(rows * (width + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*one) for one in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    )


def pictures(folder: Path, content: bytes) -> Path:
    return samples.class_folder(folder, {"a/1.png": content, "b/1.png": samples.images()[1]})


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (2**14, 2**14), (12000, 12000)])
def test_an_image_that_claims_too_many_pixels_is_refused(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    refused(pictures(tmp_path, png(*size)), "are the most|exceeds limit")


def test_an_image_that_is_not_made_smaller_may_have_fewer_pixels(tmp_path: Path) -> None:
    content = png(5000, 5000)
    refused(
        samples.class_folder(tmp_path, {"a/1.png": content, "b/1.png": content}), "are the most"
    )


@pytest.mark.usefixtures("small")
def test_many_images_together_may_take_what_a_data_set_may(tmp_path: Path) -> None:
    content = png(1000, 1000, rows=1000)
    folder = samples.class_folder(tmp_path, {f"{c}/{i}.png": content for c in "ab" for i in "123"})
    refused(folder, "more than the 0.0078")


def test_no_other_program_is_asked_what_a_picture_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    Image.new("L", (5, 4)).save(file, "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("it was"))
    refused(pictures(tmp_path, file.getvalue()), "no image that pillow can read as BMP")


def test_what_only_looks_like_a_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", samples.images()[1])
    os.mkfifo(folder / "a" / "2.png")
    skipped = (("a/2.png", "cannot be read: it is a pipe or a device: put a file there"),)
    prepared = load_dataset(folder).prepared
    assert prepared is not None and prepared.skipped == skipped
    (folder / "a" / "2.png").unlink()
    (folder / "a" / "2.png").symlink_to("/dev/zero")
    prepared = load_dataset(folder).prepared
    assert prepared is not None and prepared.skipped == skipped
    (folder / "a" / "2.png").unlink()
    (folder / "a" / "2.png").mkdir()
    assert len(load_dataset(folder)) == 2
    idx = idx_folder(tmp_path / "idx", b"")
    (idx / "train-images-idx3-ubyte").unlink()
    os.mkfifo(idx / "train-images-idx3-ubyte")
    refused(idx, "it is a pipe or a device")
    (tmp_path / "cifar").mkdir()
    os.mkfifo(tmp_path / "cifar" / "data_batch_1.bin")
    refused(tmp_path / "cifar", "it is a pipe or a device")


def test_a_file_larger_than_a_data_set_may_be_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    with path.open("wb") as file:
        file.truncate(2**40)  # of holes: it takes no disk
    refused(tmp_path, "more than the 4 GiB")


def test_a_limit_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1)), y=[0, 1])
    for text in ("much", "0", "-1", "nan"):
        monkeypatch.setenv("BYHEART_MOST_GIB", text)
        with pytest.raises(ValueError, match=rf"BYHEART_MOST_GIB is '{text}'"):
            load_dataset(tmp_path / "x.npz")

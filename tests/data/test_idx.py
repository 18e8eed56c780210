"""The IDX format: read exactly, never more than the header claims, every damage named."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from byheart.data.mnist import read_idx
from byheart.errors import DataError

Writer = Callable[..., Path]
HEADER = struct.pack(">BBBBII", 0, 0, 8, 2, 3, 4)


@settings(deadline=None, max_examples=40)
@given(
    array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3)),
    zipped=st.booleans(),
)
def test_what_was_written_is_read(
    array: np.ndarray, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.tobytes()
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert np.array_equal(read_idx(path, array.ndim), array)
    good = "sha256:" + hashlib.sha256(content).hexdigest()
    assert np.array_equal(read_idx(path, array.ndim, content_hash=good), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file of bytes: it starts with nothing"),
        (b"\x89PNG\r\n\x1a\n", "it starts with 89504e47, not 00000802"),
        (struct.pack(">BBBBII", 0, 0, 13, 2, 1, 1) + b"1234", "it starts with 00000d02"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 1, 1, 1) + b"1", "has 3 dimensions where 2 were"),
        (HEADER[:8], "is truncated: it ends within its header"),
        (HEADER + bytes(11), "is truncated: its header announces 12 bytes, it holds 11"),
        (HEADER + bytes(13), "goes on after the 12 bytes its header announces"),
        (
            struct.pack(">BBBBII", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1) + bytes(9),
            "claims to hold more than the 4 GiB that a data set may take in memory",
        ),
        (gzip.compress(HEADER + bytes(11), mtime=0), "is truncated: its header announces 12 bytes"),
        (
            gzip.compress(HEADER + bytes(12), mtime=0)[:-9],
            "is truncated: its gzip stream ends too early",
        ),
        (b"\x1f\x8b" + bytes(30), "is a damaged gzip file"),
        (gzip.compress(HEADER, mtime=0)[:10] + b"\xff" * 30, "is a damaged gzip file"),
    ],
)
def test_every_damage_is_named_with_its_file(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, 2)
    assert str(caught.value).startswith(f"{path} ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_wrong_checksum_inside_is_damaged(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(HEADER + bytes(12)))
    content[-6] ^= 1  # within the CRC
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is a damaged gzip file: CRC"):
        read_idx(path, 2)


def test_another_content_hash_is_refused_and_both_are_named(
    tmp_path: Path, write_idx: Writer
) -> None:
    path = write_idx(tmp_path / "labels.gz", np.zeros(3, dtype=np.uint8))
    content = struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes(3)
    actual = hashlib.md5(content).hexdigest()
    with pytest.raises(DataError) as caught:
        read_idx(path, 1, content_hash="md5:" + "0" * 32)
    for part in (str(path), f"md5:{actual}", "md5:" + "0" * 32):
        assert part in str(caught.value)


def test_how_a_file_was_compressed_does_not_matter(tmp_path: Path) -> None:
    content = HEADER + bytes(12)
    pinned = "sha256:" + hashlib.sha256(content).hexdigest()
    for level in (1, 9):
        path = tmp_path / f"level-{level}.gz"
        path.write_bytes(gzip.compress(content, level))
        read_idx(path, 2, content_hash=pinned)


def test_a_file_that_is_not_there_or_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_idx(tmp_path / "nothing", 1)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, 1)

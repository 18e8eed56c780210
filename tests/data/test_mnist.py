"""MNIST and its kind, on small files that the tests write, and on the real ones."""

import dataclasses
import gzip
import hashlib
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from byheart.data import load_dataset
from byheart.data.mnist import FAMILIES, read_idx
from byheart.errors import DataError

Bytes = npt.NDArray[np.uint8]
Writer = Callable[..., Path]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def pinned(
    data_folder: Path,
    write_idx: Writer,
    pictures: tuple[Bytes, Bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Small files under the names of MNIST, with their own hashes pinned."""
    family = FAMILIES["mnist"]
    pins = dict(family.pins)
    for name, array in zip((IMAGES, LABELS), pictures, strict=True):
        path = write_idx(data_folder / "mnist" / f"{name}.gz", array)
        content = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        pins[name] = (pins[name][0], f"sha256:{content}")
    monkeypatch.setitem(FAMILIES, "mnist", dataclasses.replace(family, pins=pins))
    return data_folder / "mnist"


def unzip(path: Path) -> None:
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


def test_files_under_the_named_folder_are_read(pinned: Path, pictures: tuple[Bytes, Bytes]) -> None:
    dataset = load_dataset("MNIST")
    assert dataset.name == "mnist"
    assert dataset.shape == (5, 4)
    assert dataset.classes == tuple("0123456789")
    assert torch.equal(dataset.x, torch.from_numpy(pictures[0]) / 255)
    assert torch.equal(dataset.y, torch.from_numpy(pictures[1]).long())


def test_unzipped_files_will_do(pinned: Path) -> None:
    zipped = load_dataset("mnist").fingerprint
    unzip(pinned / f"{IMAGES}.gz")
    unzip(pinned / f"{LABELS}.gz")
    assert load_dataset("mnist").fingerprint == zipped


def test_a_wrong_hash_names_both_hashes_and_the_file(
    pinned: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    path = write_idx(pinned / f"{LABELS}.gz", pictures[1][::-1].copy())
    with pytest.raises(DataError) as caught:
        load_dataset("mnist")
    actual = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    for part in (str(path), actual, FAMILIES["mnist"].pins[LABELS][1]):
        assert part in str(caught.value)


def test_a_missing_file_is_named_where_there_is_no_network(
    pinned: Path, offline: list[str]
) -> None:
    (pinned / f"{LABELS}.gz").unlink()
    with pytest.raises(DataError, match=f"mnist: no file {LABELS}.gz in {pinned}"):
        load_dataset("mnist")
    assert all(url.endswith(f"/{LABELS}.gz") for url in offline)


def test_the_test_part_has_its_own_files(pinned: Path, offline: list[str]) -> None:
    with pytest.raises(DataError, match=r"no file t10k-images-idx3-ubyte\.gz"):
        load_dataset("mnist", split="test")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_file_of_a_family_is_pinned(name: str) -> None:
    family = FAMILIES[name]
    assert len(family.pins) == 4
    assert len(family.classes) == 10
    for served, content in family.pins.values():
        assert len(bytes.fromhex(served)) == 32
        algorithm, _, digest = content.partition(":")
        assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


def test_a_folder_of_idx_files_is_read(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    folder = tmp_path / "letters"
    write_idx(folder / f"emnist-{IMAGES}.gz", pictures[0])
    write_idx(folder / "emnist-train-labels.idx1-ubyte", pictures[1], zipped=False)
    write_idx(folder / "emnist-t10k-images-idx3-ubyte", pictures[0][:6], zipped=False)
    write_idx(folder / "emnist-t10k-labels-idx1-ubyte", pictures[1][:6], zipped=False)
    dataset = load_dataset(folder)
    assert (dataset.name, len(dataset), dataset.classes) == ("letters", 30, ("0", "1", "2"))
    assert len(load_dataset(folder, split="test")) == 6


def test_zipped_and_unzipped_copies_of_a_file_are_one(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    for zipped, ending in ((True, ".gz"), (False, "")):
        write_idx(tmp_path / f"{IMAGES}{ending}", pictures[0], zipped=zipped)
        write_idx(tmp_path / f"{LABELS}{ending}", pictures[1], zipped=zipped)
    assert len(load_dataset(tmp_path)) == 30


Arrays = dict[str, Bytes]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (lambda x, y: {IMAGES: x, LABELS: y[:29]}, f"{IMAGES} holds 30 images but .*{LABELS} 29"),
        (lambda x, y: {IMAGES: y, LABELS: y}, f"{IMAGES} is no|{IMAGES} has 1 dimensions where 3"),
        (lambda x, y: {IMAGES: x}, f"holds no file {LABELS}"),
        (lambda x, y: {f"a-{IMAGES}": x, f"b-{IMAGES}": x}, "keep the files of one data set in a"),
        (lambda x, y: {IMAGES: x, LABELS: np.zeros_like(y)}, f"{IMAGES}: .*one class only"),
    ],
)
def test_a_folder_of_idx_files_that_do_not_fit_is_refused(
    tmp_path: Path,
    write_idx: Writer,
    pictures: tuple[Bytes, Bytes],
    files: Callable[[Bytes, Bytes], Arrays],
    message: str,
) -> None:
    for name, array in files(*pictures).items():
        write_idx(tmp_path / name, array)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


@pytest.mark.mnist
@pytest.mark.parametrize(("split", "size"), [("train", 60_000), ("test", 10_000)])
def test_real_mnist_is_read_whole(split: str, size: int) -> None:
    dataset = load_dataset("mnist", split=split)
    assert (len(dataset), dataset.shape) == (size, (28, 28))
    assert float(dataset.x.min()) == 0
    assert float(dataset.x.max()) == 1
    if split == "train":
        assert dataset.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert dataset.smallest_class == 5421
        assert float(dataset.x.double().mean()) == pytest.approx(0.1306605, abs=1e-6)


@pytest.mark.mnist
def test_real_mnist_with_one_byte_changed_is_refused(
    mnist_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "mnist"
    shutil.copytree(mnist_root / "mnist", copy)
    path = copy / f"{LABELS}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(gzip.compress(bytes(content)))
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"{LABELS}.* is not the file it should be"):
        load_dataset("mnist")


HEADER = struct.pack(">BBBBII", 0, 0, 8, 2, 3, 4)


def wrong_checksum() -> bytes:
    content = bytearray(gzip.compress(HEADER + bytes(12), mtime=0))
    content[-6] ^= 1  # within the CRC
    return bytes(content)


@settings(deadline=None, max_examples=25)
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
        (wrong_checksum(), "is a damaged gzip file: CRC"),
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

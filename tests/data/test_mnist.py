"""MNIST and its kind, on small files that the tests write, and on the real ones."""

import dataclasses
import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from byheart.data import load_dataset
from byheart.data.mnist import FAMILIES
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
    dataset = load_dataset("mnist")
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


def test_a_name_in_capitals_will_do(pinned: Path) -> None:
    assert len(load_dataset("MNIST")) == 30


def test_a_wrong_hash_names_both_hashes_and_the_file(
    pinned: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    path = write_idx(pinned / f"{LABELS}.gz", pictures[1][::-1].copy())
    with pytest.raises(DataError) as caught:
        load_dataset("mnist")
    actual = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    for part in (str(path), actual, FAMILIES["mnist"].pins[LABELS][1]):
        assert part in str(caught.value)


def test_a_truncated_file_is_named(pinned: Path) -> None:
    path = pinned / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{path} is truncated"):
        load_dataset("mnist")


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


def test_fashion_mnist_offline_says_how_to_get_it(data_folder: Path, offline: list[str]) -> None:
    with pytest.raises(DataError, match=f"fashion-mnist: no file {IMAGES}.gz"):
        load_dataset("fashion-mnist")


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


def test_images_and_labels_must_be_equally_many(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    write_idx(tmp_path / IMAGES, pictures[0])
    write_idx(tmp_path / LABELS, pictures[1][:29])
    with pytest.raises(DataError, match=f"{IMAGES} holds 30 images but .*{LABELS} 29 labels"):
        load_dataset(tmp_path)


def test_labels_under_the_name_of_images_are_told(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    write_idx(tmp_path / IMAGES, pictures[1])
    write_idx(tmp_path / LABELS, pictures[1])
    with pytest.raises(DataError, match=f"{IMAGES} is no|{IMAGES} has 1 dimensions where 3"):
        load_dataset(tmp_path)


def test_a_folder_without_labels_is_named(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    write_idx(tmp_path / IMAGES, pictures[0])
    with pytest.raises(DataError, match=f"{tmp_path} holds no file {LABELS}"):
        load_dataset(tmp_path)


def test_two_data_sets_in_one_folder_are_refused(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    for prefix in ("a", "b"):
        write_idx(tmp_path / f"{prefix}-{IMAGES}", pictures[0])
    with pytest.raises(DataError, match="keep the files of one data set in a folder"):
        load_dataset(tmp_path)


def test_one_class_in_a_file_is_an_error_that_names_it(
    tmp_path: Path, write_idx: Writer, pictures: tuple[Bytes, Bytes]
) -> None:
    write_idx(tmp_path / IMAGES, pictures[0])
    write_idx(tmp_path / LABELS, np.zeros(30, dtype=np.uint8))
    with pytest.raises(DataError, match=f"{IMAGES}: .*one class only"):
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

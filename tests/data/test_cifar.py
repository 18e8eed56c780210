"""CIFAR-10, on small files written in its binary format."""

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from byheart.data import cifar, load_dataset
from byheart.errors import DataError

ALL = (*cifar.BATCHES["train"], *cifar.BATCHES["test"])


def batch(seed: int, n: int = 20) -> bytes:
    """Return records as they are specified: one label byte, then red, green and blue planes."""
    rng = np.random.default_rng(seed)
    records = b""
    for i in range(n):
        planes = rng.integers(256, size=3 * 1024, dtype=np.uint8)
        records += bytes([i % 10]) + planes.tobytes()
    return records


@pytest.fixture
def extracted(data_folder: Path) -> Path:
    folder = data_folder / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for seed, name in enumerate(ALL):
        (folder / name).write_bytes(batch(seed))
    return folder


@pytest.fixture
def archive(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write an archive like the published one, with its own hash pinned."""

    def write(names: tuple[str, ...] = ALL) -> Path:
        path = data_folder / "cifar10" / "cifar-10-binary.tar.gz"
        path.parent.mkdir()
        with tarfile.open(path, "w:gz") as tar:
            for seed, name in enumerate(names):
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                content = batch(seed)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        pin(path, monkeypatch)
        return path

    return write


def pin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "ARCHIVE", dataclasses.replace(cifar.ARCHIVE, sha256=digest))


def test_the_five_training_batches_are_read_in_order(extracted: Path) -> None:
    dataset = load_dataset("cifar10")
    assert (len(dataset), dataset.shape, dataset.name) == (100, (3, 32, 32), "cifar10")
    assert dataset.classes[:2] == ("airplane", "automobile")
    assert dataset.y.tolist() == [i % 10 for i in range(100)]
    content = (extracted / "data_batch_3.bin").read_bytes()
    green = np.frombuffer(content[5 * 3073 + 1 + 1024 : 5 * 3073 + 1 + 2048], dtype=np.uint8)
    expected = torch.from_numpy(green.reshape(32, 32).copy()) / 255
    assert torch.equal(dataset.x[45, 1], expected)


def test_the_test_batch_is_the_test_part(extracted: Path) -> None:
    assert len(load_dataset("cifar10", split="test")) == 20


def test_the_archive_gives_the_same_as_the_folder(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    path = archive()
    from_archive = [load_dataset("cifar10", split=split) for split in ("train", "test")]
    with tarfile.open(path) as tar:
        tar.extractall(path.parent, filter="data")
    path.unlink()
    for before, split in zip(from_archive, ("train", "test"), strict=True):
        assert before.fingerprint == load_dataset("cifar10", split=split).fingerprint


def test_an_archive_of_another_hash_is_refused(archive: Callable[..., Path]) -> None:
    path = archive()
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=f"{path} is not the file it should be"):
        load_dataset("cifar10")


def test_an_archive_that_lacks_a_batch_is_named(archive: Callable[..., Path]) -> None:
    path = archive(ALL[:3])
    with pytest.raises(DataError, match=f"{path} holds no data_batch_4.bin"):
        load_dataset("cifar10")


@pytest.mark.parametrize("cut", [0, 40, -200])
def test_a_damaged_archive_is_named(
    archive: Callable[..., Path], cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive()
    path.write_bytes(path.read_bytes()[:cut] if cut else b"garbage")
    pin(path, monkeypatch)
    with pytest.raises(DataError, match=f"{path} "):
        load_dataset("cifar10")


def test_a_missing_batch_is_named(extracted: Path) -> None:
    (extracted / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_2\.bin is missing: extract"):
        load_dataset("cifar10")


@pytest.mark.parametrize("content", [b"", batch(0)[:-1], b"x" * 100])
def test_a_truncated_batch_is_named(extracted: Path, content: bytes) -> None:
    path = extracted / "data_batch_5.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} is truncated .* {len(content)} bytes"):
        load_dataset("cifar10")


def test_a_label_that_is_no_class_is_named_with_its_record(extracted: Path) -> None:
    path = extracted / "data_batch_1.bin"
    content = bytearray(batch(0))
    content[4 * 3073] = 10
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} is no CIFAR-10 batch: record 4 has label 10"):
        load_dataset("cifar10")


def test_a_batch_that_is_a_folder_cannot_be_read(extracted: Path) -> None:
    (extracted / "data_batch_1.bin").unlink()
    (extracted / "data_batch_1.bin").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("cifar10")


def test_a_folder_with_some_batches_is_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "data_batch_2.bin").write_bytes(batch(0))
    assert len(load_dataset(tmp_path)) == 20
    with pytest.raises(DataError, match=r"holds no file test_batch\.bin"):
        load_dataset(tmp_path, split="test")


def test_offline_the_archive_is_named(data_folder: Path, offline: list[str]) -> None:
    with pytest.raises(DataError, match=r"cifar10: no file cifar-10-binary\.tar\.gz"):
        load_dataset("cifar10")
    assert offline[0] == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

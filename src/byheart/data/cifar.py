"""CIFAR-10 in its binary format: records of one label byte and 3 x 32 x 32 pixel bytes."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from byheart.data.dataset import Dataset, from_file
from byheart.data.files import Remote, fetch, find, require_file, require_hash, require_room
from byheart.errors import DataError

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
BATCHES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
FOLDER = "cifar-10-batches-bin"
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz"),
)
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32

Bytes = npt.NDArray[np.uint8]


def load_cifar10(split: str) -> Dataset:
    """Load CIFAR-10 from its extracted folder, else from its archive, else from the web.

    Args:
        split: "train" (50,000 images) or "test" (10,000).

    Returns:
        Inputs of shape [3, 32, 32].

    Raises:
        DataError: a file is missing and cannot be downloaded, is damaged or of the wrong hash.
    """
    folder = find("cifar10", (FOLDER,))
    if folder is not None:
        paths = [folder / name for name in BATCHES[split]]
        return _dataset("cifar10", paths, [_file_bytes(path) for path in paths])
    archive = find("cifar10", (ARCHIVE.name,)) or fetch("cifar10", ARCHIVE)
    paths = [archive / name for name in BATCHES[split]]
    return _dataset("cifar10", paths, _archive_bytes(archive, BATCHES[split]))


def is_cifar_folder(folder: Path) -> bool:
    """Return whether a folder holds batches of CIFAR-10 by their names."""
    return any((folder / name).exists() for names in BATCHES.values() for name in names)


def load_cifar_folder(folder: Path, split: str) -> Dataset:
    """Load those batches of CIFAR-10 that a folder holds.

    Raises:
        DataError: there is none for the split, or one is damaged.
    """
    paths = [folder / name for name in BATCHES[split] if (folder / name).exists()]
    if not paths:
        raise DataError(f"{folder} holds no file {BATCHES[split][0]}: put the {split} batch there")
    return _dataset(folder.name, paths, [_file_bytes(path) for path in paths])


def _file_bytes(path: Path) -> bytes:
    require_file(path)
    try:
        require_room(path, (path.stat().st_size,))
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: extract {ARCHIVE.name} again ({ARCHIVE.mirrors[0]}/{ARCHIVE.name})"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _archive_bytes(archive: Path, names: Sequence[str]) -> list[bytes]:
    contents: dict[str, bytes] = {}
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            require_hash(archive, f"sha256:{ARCHIVE.sha256}", f"sha256:{digest}")
            file.seek(0)
            # In the order of the archive: going back in a gzip stream means to start again.
            with tarfile.open(fileobj=file, mode="r:gz") as tar:
                for member in tar:
                    name = Path(member.name).name
                    held = tar.extractfile(member) if name in names else None
                    if held is not None:
                        contents[name] = held.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is a damaged archive: {error}") from None
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror or error}") from None
    for name in names:
        if name not in contents:
            raise DataError(f"{archive} holds no {name}: it is not the binary version of CIFAR-10")
    return [contents[name] for name in names]


def _dataset(name: str, paths: Sequence[Path], contents: Sequence[bytes]) -> Dataset:
    records = np.concatenate(
        [_records(path, content) for path, content in zip(paths, contents, strict=True)]
    )
    pixels = records[:, 1:].reshape(-1, *SHAPE)
    return from_file(paths[0].parent, name, pixels, records[:, 0], CLASSES)


def _records(path: Path, content: bytes) -> Bytes:
    if not content or len(content) % RECORD:
        raise DataError(
            f"{path} is truncated or no CIFAR-10 batch: {len(content)} bytes are no whole number "
            f"of records of {RECORD}"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CLASSES))
    if len(wrong):
        raise DataError(
            f"{path} is no CIFAR-10 batch: record {wrong[0]} has label {records[wrong[0], 0]}, "
            "where labels are 0..9"
        )
    return records

"""Data sets from strangers: read right, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile import samples
from tests.hostile.mutations import damaged, fuzzed
from tests.hostile.refusing import answer

from byheart.data import Dataset, load_dataset

IDX, NPZ, IMAGES = samples.idx_files(), samples.npz_files(), samples.images()
TABLES = samples.tables()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that every example of a test writes into anew."""
    return tmp_path_factory.mktemp("hostile")


def holds(dataset: Dataset | None) -> None:
    """See that what was read is a data set."""
    if dataset is not None:
        dataset.validate()


@fuzzed
@given(images=damaged(IDX), labels=damaged(IDX))
def test_idx_files(folder: Path, images: bytes, labels: bytes) -> None:
    files = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    for name in files:
        own = {**dict(zip(files, IDX, strict=False)), name: files[name]}
        holds(answer(lambda own=own: load_dataset(samples.class_folder(folder / "idx", own))))


@fuzzed
@given(content=damaged([samples.cifar_batch()]))
def test_cifar_batches(folder: Path, content: bytes) -> None:
    own = samples.class_folder(folder / "cifar", {"data_batch_1.bin": content})
    holds(answer(lambda: load_dataset(own)))


@fuzzed
@given(content=damaged(NPZ))
def test_npz_files(folder: Path, content: bytes) -> None:
    (folder / "x.npz").write_bytes(content)
    holds(answer(lambda: load_dataset(folder / "x.npz")))


@fuzzed
@given(content=damaged(IMAGES))
def test_images(folder: Path, content: bytes) -> None:
    files = {"a/1.png": content, "b/1.png": IMAGES[1]}
    holds(answer(lambda: load_dataset(samples.class_folder(folder / "images", files))))


@pytest.mark.parametrize("text", [None, "colour"])
@pytest.mark.parametrize("ending", TABLES)
@fuzzed
@given(data=st.data())
def test_tables(folder: Path, ending: str, text: str | None, data: st.DataObject) -> None:
    path = folder / f"table{ending}"
    path.write_bytes(data.draw(damaged(TABLES[ending])))
    holds(answer(lambda: load_dataset(path, label="target", text=text)))

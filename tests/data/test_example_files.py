"""Which file an example comes from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from byheart.data.sources import example_files, load_dataset
from byheart.errors import DataError


def folder_of_images(root: Path) -> None:
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((4, 4), 100 * label + i, np.uint8)).save(
                root / name / f"{i}.png"
            )


def test_files_are_in_the_order_of_the_examples(tmp_path: Path) -> None:
    folder_of_images(tmp_path)
    files = example_files(tmp_path)
    assert files == [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(3)]
    dataset = load_dataset(tmp_path)
    for x, file in zip(dataset.x, files, strict=True):
        np.testing.assert_array_equal(
            (255 * x).round().numpy(), np.asarray(Image.open(tmp_path / file))
        )


def test_a_split_is_part_of_the_path(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "train")
    folder_of_images(tmp_path / "test")
    files = example_files(tmp_path, split="test")
    assert files is not None and files[0] == "test/ant/0.png"


@pytest.mark.parametrize("source", ["digits", "mnist", "hf:owner/name", "no/such/folder"])
def test_other_sources_have_no_files(source: str) -> None:
    assert example_files(source) is None


def test_a_folder_of_idx_files_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    assert example_files(tmp_path) is None


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        example_files(tmp_path)

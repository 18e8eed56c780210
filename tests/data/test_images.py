"""A folder of images by class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from byheart.data import load_dataset
from byheart.errors import DataError

RNG = np.random.default_rng(0)


def picture(path: Path, shape: tuple[int, ...] = (6, 4), mode: str | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(256, size=shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return pixels


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    for name in ("dogs/1.png", "dogs/2.bmp", "cats/1.png", "cats/2.PNG", "cats/3.png"):
        picture(tmp_path / "pets" / name)
    return tmp_path / "pets"


def test_folders_are_classes_in_alphabetical_order(grey: Path) -> None:
    pixels = picture(grey / "dogs" / "1.png")
    dataset = load_dataset(grey)
    assert (dataset.name, dataset.classes, dataset.shape) == ("pets", ("cats", "dogs"), (6, 4))
    assert dataset.y.tolist() == [0, 0, 0, 1, 1]
    assert torch.equal(dataset.x[3], torch.from_numpy(pixels) / 255)


def test_colours_come_as_channels_first(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "a" / "1.png", (6, 4, 3))
    picture(tmp_path / "b" / "1.png", (6, 4, 3))
    dataset = load_dataset(tmp_path)
    assert dataset.shape == (3, 6, 4)
    assert torch.equal(dataset.x[0], torch.from_numpy(pixels.transpose(2, 0, 1).copy()) / 255)


def test_one_coloured_image_makes_all_rgb(grey: Path) -> None:
    picture(grey / "dogs" / "3.png", (6, 4, 3), "P")
    before = load_dataset(grey)
    assert before.shape == (3, 6, 4)
    assert torch.equal(before.x[0, 0], before.x[0, 2])


def test_train_and_test_folders_are_the_parts(tmp_path: Path) -> None:
    for split, n in (("train", 3), ("test", 2)):
        for i in range(n):
            picture(tmp_path / split / "a" / f"{i}.png")
            picture(tmp_path / split / "b" / f"{i}.png")
    assert len(load_dataset(tmp_path)) == 6
    assert len(load_dataset(tmp_path, split="test")) == 4


def test_a_split_that_is_not_there_is_told(grey: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no test part"):
        load_dataset(grey, split="test")
    picture(tmp_path / "half" / "train" / "a" / "1.png")
    with pytest.raises(DataError, match="has no folder 'test'"):
        load_dataset(tmp_path / "half", split="test")


def test_files_that_are_no_images_by_their_ending_are_left_out(grey: Path) -> None:
    (grey / "dogs" / "notes.txt").write_text("good dogs")
    (grey / ".cache").mkdir()
    (grey / "readme.md").write_text("pets")
    assert len(load_dataset(grey)) == 5


def write_text(path: Path) -> None:
    path.write_text("no image")


def write_deep(path: Path) -> None:
    Image.fromarray(np.zeros((6, 4), dtype=np.uint16)).save(path)


def write_truncated(path: Path) -> None:
    picture(path)
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: picture(path, (6, 5)), "has 5x6 pixels but .*cats/1.png has 4x6"),
        (write_text, "is no image that pillow can read"),
        (write_truncated, "is a damaged image"),
        (write_deep, "has more than 8 bits a channel"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(
    grey: Path, write: Callable[[Path], object], message: str
) -> None:
    write(grey / "dogs" / "3.png")
    with pytest.raises(DataError, match=rf"dogs/3\.png {message}"):
        load_dataset(grey)


def test_folders_that_are_no_classes_are_told(grey: Path, tmp_path: Path) -> None:
    (grey / "emus").mkdir()
    with pytest.raises(DataError, match=r"class folder .*emus holds no images"):
        load_dataset(grey)
    picture(tmp_path / "single" / "a" / "1.png")
    with pytest.raises(DataError, match="one class only"):
        load_dataset(tmp_path / "single")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no class folders"):
        load_dataset(tmp_path / "empty")


def folder_of_images(root: Path) -> None:
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((4, 4), 100 * label + i, np.uint8)).save(
                root / name / f"{i}.png"
            )


def test_files_are_in_the_order_of_the_examples(tmp_path: Path) -> None:
    folder_of_images(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.prepared is not None
    files = dataset.prepared.files
    assert files == [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(3)]
    for x, file in zip(dataset.x, files, strict=True):
        np.testing.assert_array_equal(
            (255 * x).round().numpy(), np.asarray(Image.open(tmp_path / file))
        )


def test_a_split_is_part_of_the_path(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "train")
    folder_of_images(tmp_path / "test")
    prepared = load_dataset(tmp_path, split="test").prepared
    assert prepared is not None and prepared.files is not None
    assert prepared.files[0] == "test/ant/0.png"

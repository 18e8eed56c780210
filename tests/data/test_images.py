"""A folder of images by class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from byheart.data import Dataset, load_dataset
from byheart.errors import DataError, InputError

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


def notes(dataset: Dataset) -> str:
    assert dataset.prepared is not None
    return "; ".join(dataset.prepared.notes)


def test_files_that_cannot_be_read_are_left_out_and_listed_together(grey: Path) -> None:
    write_text(grey / "dogs" / "3.png")
    write_truncated(grey / "cats" / "4.png")
    write_deep(grey / "cats" / "5.png")
    for name in ("dogs/4.HEIC", "dogs/5.avif", "dogs/notes.txt", "dogs/more.txt", "cats/x"):
        (grey / name).write_bytes(b"-")
    dataset = load_dataset(grey)
    assert len(dataset) == 5
    assert "Left out, as no image by its ending: 2 .txt, 1 without ending" in notes(dataset)
    assert "Left out, of 10 images: 5 (" in notes(dataset)
    skipped = dict(getattr(dataset.prepared, "skipped", ()))
    assert len(skipped) == 8
    assert "is no image that pillow can read" in skipped["dogs/3.png"]
    assert "is a damaged image" in skipped["cats/4.png"]
    assert "more than 8 bits a channel" in skipped["cats/5.png"]
    assert skipped["dogs/4.HEIC"] == ".heic cannot be read: convert it to JPEG or PNG"


def test_a_class_without_an_image_that_can_be_read_names_what_it_has(grey: Path) -> None:
    write_text(grey / "emus.png")
    (grey / "emus").mkdir()
    write_text(grey / "emus" / "1.png")
    with pytest.raises(DataError, match=r"folder .*emus holds no .*: emus/1\.png is no image"):
        load_dataset(grey)


def test_images_of_several_sizes_are_brought_to_64_pixels(grey: Path) -> None:
    white = np.full((30, 10), 255, np.uint8)
    Image.fromarray(white).save(grey / "dogs" / "3.png")
    dataset = load_dataset(grey)
    assert dataset.shape == (64, 64)
    assert "Images have 2 sizes, from 4x6 to 10x30 pixels" in notes(dataset)
    # Its shape is kept: black margins left and right.
    tall = dataset.x[-1]
    assert bool((tall[:, 22:42] > 0.99).all()) and float(tall[:, :20].max()) == 0


def test_images_are_resized_on_request_only(grey: Path) -> None:
    assert load_dataset(grey, resize=8).shape == (8, 8)
    assert notes(load_dataset(grey)) == ""


@pytest.mark.parametrize("resize", [0, 3, 2000, 8.0, True])
def test_a_side_that_cannot_be_is_refused(grey: Path, resize: Any) -> None:
    with pytest.raises(InputError, match="resize must be a whole number from 4 to 1024"):
        load_dataset(grey, resize=resize)


def test_resize_is_for_images() -> None:
    with pytest.raises(InputError, match="'digits' is no folder of images: leave out resize"):
        load_dataset("digits", resize=16)


def test_images_are_turned_as_their_camera_was(grey: Path) -> None:
    pixels = RNG.integers(256, size=(4, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(grey / "dogs" / "3.png", exif=exif)
    dataset = load_dataset(grey)
    assert dataset.shape == (6, 4)
    assert torch.equal(dataset.x[-1], torch.from_numpy(np.rot90(pixels, -1).copy()) / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(grey: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 6), (0, 0, 0, 0))
    image.putpixel((1, 2), (0, 0, 0, 255))
    if mode == "P":
        image.quantize(2).save(grey / "dogs" / "3.png")
    else:
        image.convert(mode).save(grey / "dogs" / "3.png")
    last = load_dataset(grey).x[-1]
    assert float(last[..., 2, 1].max()) == 0 and float(last[..., 0, 0].min()) == 1


def test_images_may_lie_in_folders_within_a_class(grey: Path) -> None:
    picture(grey / "dogs" / "puppies" / "small" / "1.png")
    dataset = load_dataset(grey)
    assert dataset.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert getattr(dataset.prepared, "files", [""])[-1] == "dogs/puppies/small/1.png"


def test_both_parts_are_brought_to_one_size(tmp_path: Path) -> None:
    for split, shape in (("train", (6, 4)), ("test", (8, 8))):
        for name in "ab":
            picture(tmp_path / split / name / "1.png", shape)
    assert load_dataset(tmp_path).shape == load_dataset(tmp_path, split="test").shape == (64, 64)


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

"""The Hugging Face hub, with a stand-in for the ``datasets`` package."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pictures

from byheart.data import load_dataset
from byheart.errors import DataError, InputError


class Image:
    pass


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names


class Value:
    pass


class Table:
    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
        self.columns, self.features = columns, features

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns)


PIXELS = np.random.default_rng(0).integers(256, size=(4, 5, 6), dtype=np.uint8)


def table() -> Table:
    images = [Pictures.fromarray(pixels) for pixels in PIXELS]
    return Table(
        {"picture": images, "animal": [0, 1, 1, 0], "note": ["", "", "", ""]},
        {"picture": Image(), "animal": ClassLabel(["cat", "dog"]), "note": Value()},
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Any]:
    """Tables (or errors) by name and split, served by a module called ``datasets``."""
    served: dict[tuple[str, str], Any] = {("owner/pets", "train"): table()}

    def load(name: str, *, split: str) -> Table:
        found = served.get((name, split), ValueError(f'Unknown split "{split}".\nMore lines.'))
        if isinstance(found, Exception):
            raise found
        return found

    module = ModuleType("datasets")
    module.__dict__.update(load_dataset=load, Image=Image, ClassLabel=ClassLabel)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return served


def test_image_and_label_columns_are_found_by_type(hub: dict[tuple[str, str], Any]) -> None:
    dataset = load_dataset("hf:owner/pets")
    assert (dataset.name, dataset.classes) == ("owner/pets", ("cat", "dog"))
    assert torch.equal(dataset.x, torch.from_numpy(PIXELS) / 255)
    assert dataset.y.tolist() == [0, 1, 1, 0]


def test_a_split_that_does_not_exist_is_told_in_one_line(
    hub: dict[tuple[str, str], Any],
) -> None:
    with pytest.raises(DataError, match=r"'hf:owner/pets', split 'test', cannot be loaded") as e:
        load_dataset("hf:owner/pets", split="test")
    assert "\n" not in str(e.value)


def test_offline_is_told_in_one_line(hub: dict[tuple[str, str], Any]) -> None:
    hub["owner/gone", "train"] = ConnectionError("cannot reach the hub")
    with pytest.raises(DataError, match="cannot reach the hub; check the name and the network"):
        load_dataset("hf:owner/gone")


def test_an_error_without_words_is_told_by_its_type(hub: dict[tuple[str, str], Any]) -> None:
    hub["owner/gone", "train"] = FileNotFoundError()
    with pytest.raises(DataError, match="cannot be loaded: FileNotFoundError"):
        load_dataset("hf:owner/gone")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"picture": Image(), "animal": Value()}, r"0 class label columns .* animal \(Value\)"),
        ({"picture": Image(), "animal": Image()}, "2 image columns where one is needed"),
    ],
)
def test_columns_that_are_missing_or_ambiguous_are_told(
    hub: dict[tuple[str, str], Any], features: dict[str, Any], message: str
) -> None:
    hub["owner/pets", "train"].features = features
    with pytest.raises(DataError, match=message):
        load_dataset("hf:owner/pets")


def test_texts_of_the_hub_are_read_by_their_columns(hub: dict[tuple[str, str], Any]) -> None:
    texts = ["a good film", "a bad film", "bad", "good"]
    hub["owner/films", "train"] = Table(
        {"text": texts, "label": [1, 0, 0, 1]},
        {"text": Value(), "label": ClassLabel(["neg", "pos"])},
    )
    dataset = load_dataset("hf:owner/films", text="text")
    assert (dataset.kind, dataset.classes) == ("text", ("neg", "pos"))
    assert dataset.y.tolist() == [1, 0, 0, 1]


def test_unlabelled_rows_are_refused(hub: dict[tuple[str, str], Any]) -> None:
    hub["owner/pets", "train"].columns["animal"] = [-1, 0, 1, 0]
    with pytest.raises(InputError, match="label -1 is out of range"):
        load_dataset("hf:owner/pets")


def test_images_of_different_sizes_get_one(hub: dict[tuple[str, str], Any]) -> None:
    hub["owner/pets", "train"].columns["picture"][2] = Pictures.new("L", (9, 9))
    dataset = load_dataset("hf:owner/pets")
    assert dataset.shape == (64, 64)
    assert "have 2 sizes, from 6x5 to 9x9 pixels" in getattr(dataset.prepared, "notes", ("",))[0]
    assert load_dataset("hf:owner/pets", resize=8).shape == (8, 8)


def test_a_row_without_an_image_is_named(hub: dict[tuple[str, str], Any]) -> None:
    hub["owner/pets", "train"].columns["picture"][1] = None
    with pytest.raises(DataError, match="hf:owner/pets row 1 holds no image"):
        load_dataset("hf:owner/pets")


def test_a_name_is_needed() -> None:
    with pytest.raises(InputError, match="write hf:owner/name"):
        load_dataset("hf:")


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'byheart\[datasets\]'"):
        load_dataset("hf:owner/pets")

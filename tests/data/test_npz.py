"""A .npz with x and y."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from byheart.data import load_dataset
from byheart.errors import DataError

X = np.random.default_rng(0).random((8, 3))
Y = np.arange(8) % 2


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_x_and_y_are_read(tmp_path: Path) -> None:
    dataset = load_dataset(save(tmp_path / "mine.npz", x=X, y=Y))
    assert dataset.name == "mine"
    assert torch.equal(dataset.x, torch.from_numpy(X).float())
    assert torch.equal(dataset.y, torch.from_numpy(Y))


def test_bytes_are_divided_by_255(tmp_path: Path) -> None:
    x = np.array([[0, 255], [51, 102]], dtype=np.uint8)
    dataset = load_dataset(save(tmp_path / "a.npz", x=x, y=[0, 1]))
    assert torch.equal(dataset.x, torch.tensor([[0, 1], [0.2, 0.4]]))


def test_class_names_and_a_test_part_may_be_there(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.npz",
        x_train=X,
        y_train=Y[:, None],
        x_test=X[:4],
        y_test=Y[:4],
        classes=["cat", "dog"],
    )
    assert load_dataset(path).classes == ("cat", "dog")
    assert len(load_dataset(path)) == 8
    assert len(load_dataset(path, split="test")) == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "holds x: it must hold arrays 'x' and 'y' or 'x_train' and 'y_train'"),
        ({}, "holds nothing"),
        ({"x": X, "y": Y[:5]}, "8 inputs, 5 labels"),
        ({"x": X, "y": Y, "classes": ["cat"]}, "label 1 is out of range"),
        ({"x": X, "y": Y * 0}, "one class only"),
        ({"x": X * np.nan, "y": Y}, "holds NaN"),
        ({"x": X[:0], "y": Y[:0]}, "is empty"),
        ({"x": X.astype(object), "y": Y}, "it holds Python objects, which are refused"),
        ({"x": X, "y": Y.astype(object)}, "it holds Python objects, which are refused"),
    ],
)
def test_what_is_no_data_set_is_refused_with_the_file_named(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_test_part_is_scaled_like_the_training_part(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x_train=X * 9, y_train=Y, x_test=X[:4] * 9 + 1, y_test=Y[:4])
    mean, deviation = (X * 9).mean(0), (X * 9).std(0)
    expected = (X[:4] * 9 + 1 - mean) / deviation
    tested = load_dataset(path, split="test").x
    np.testing.assert_allclose(tested.numpy(), expected, atol=1e-5)


def test_names_as_labels_are_numbered(tmp_path: Path) -> None:
    dataset = load_dataset(save(tmp_path / "a.npz", x=X, y=np.array(["dog", "cat"] * 4)))
    assert (dataset.classes, dataset.y.tolist()) == (("cat", "dog"), [1, 0] * 4)


def test_a_missing_test_part_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold arrays 'x_test' and 'y_test'"):
        load_dataset(save(tmp_path / "a.npz", x=X, y=Y), split="test")


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path, member = tmp_path / "bad.npz", tmp_path / "x.npy"
    np.save(member, X)
    lying = member.read_bytes().replace(b"(8, 3), ", b"(9, 3), ")
    assert lying != member.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", lying)
        archive.writestr("y.npy", lying)
    with pytest.raises(DataError, match=f"{path} cannot be read"):
        load_dataset(path)


def test_a_way_of_compressing_that_python_lacks_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.npz", x=X, y=Y)
    content = bytearray(path.read_bytes())
    # The method stands 8 bytes into the header of a member, and 10 into its entry at the end.
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + offset] = 99
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} cannot be read: .*compression"):
        load_dataset(path)


def packed(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def bare() -> bytes:
    file = io.BytesIO()
    np.save(file, X)
    return file.getvalue()


def damaged_inside() -> bytes:
    content = bytearray(packed(x=np.zeros((100, 50)), y=np.arange(100)))
    content[60:80] = b"\xff" * 20
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no .npz file"),
        (b"no zip at all", "is no .npz file"),
        (bare(), "is no .npz file"),
        (b"PK\x03\x04 and then garbage", ""),
        (damaged_inside(), ""),
        (packed(x=X, y=Y)[:-40], "is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} {message}"):
        load_dataset(path)

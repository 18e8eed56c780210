"""Inputs as small pictures, read back by an image library."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from byheart.auditing.cards import in_fields, in_numbers, thumbnail
from byheart.data.preparation import kind_of
from byheart.report.numbers import NOTHING


def pixels(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_grey_and_colour_are_kept_and_other_numbers_of_channels_averaged() -> None:
    rng = np.random.default_rng(0)
    grey, colour, more = rng.random((6, 9)), rng.random((3, 6, 9)), rng.random((5, 6, 9))
    for x, shown in ((grey, grey), (colour, colour.transpose(1, 2, 0)), (more, more.mean(0))):
        np.testing.assert_array_equal(pixels(thumbnail(x, 50).uri), np.rint(255 * shown))
    # Values out of range are cut.
    assert pixels(thumbnail(np.array([[-2.0, 3.0]] * 4), 9).uri)[0].tolist() == [0, 255]


def test_a_large_picture_is_averaged_down_to_its_last_rows() -> None:
    x = np.zeros((10, 7))
    x[9, 6] = 1.0
    small = thumbnail(x, 4)
    assert (small.width, small.height) == (3, 4)
    assert pixels(small.uri)[-1, -1] == 255
    assert pixels(small.uri).sum() == 255


@pytest.mark.parametrize(
    ("shape", "picture"),
    [((8, 8), True), ((3, 32, 32), True), ((1, 28, 28), True), ((64,), False), ((2, 100), False)],
)
def test_what_is_a_picture(shape: tuple[int, ...], picture: bool) -> None:
    assert (kind_of(shape) == "images") is picture


def test_pictures_of_another_range_are_shown_in_it() -> None:
    assert pixels(thumbnail(np.array([[-2.0, 3.0]] * 4), 9, (-2, 3)).uri)[0].tolist() == [0, 255]


def test_a_row_shows_its_columns_as_they_were_given() -> None:
    row = pd.Series(
        {"age": 41.0, "pay": 1234567.8, "owner": True, "job": None, "day": pd.Timestamp(2024, 1, 5)}
    )
    assert in_fields(row) == (
        ("age", "41"), ("pay", "1,234,567.8"), ("owner", "true"), ("job", NOTHING),
        ("day", "2024-01-05"),
    )  # fmt: skip
    assert in_fields(pd.Series(range(50)))[-1] == ("further columns", "10")


def test_numbers_are_cut_short_and_counted() -> None:
    assert in_numbers(np.array([0.5, 0.25])) == "0.5, 0.25"
    assert in_numbers(np.zeros(5000)).endswith(", … (5,000 values)")

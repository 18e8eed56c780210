"""Names that hide, steer a terminal or are no text at all are shown written out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile import samples
from tests.hostile.mutations import fuzzed
from tests.hostile.refusing import answer

from byheart.data import load_dataset
from byheart.errors import InputError
from byheart.texts import cell, visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("cat", "cat"),
        ("Café 猫 👩‍🔬 [red]", "Café 猫 👩‍🔬 [red]"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x00b\tc\nd\r", r"a\x00b\tc\nd\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202etac", r"\u202etac"),
        ("a\u2066b\u200bc\ufeff", r"a\u2066b\u200bc\ufeff"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("\ufffe\uffff", r"\ufffe\uffff"),
    ],
)
def test_what_nobody_would_see_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text())
def test_what_is_visible_can_be_written_anywhere(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert shown.splitlines() in ([shown], [])
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_text_of_a_csv_begins_as_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell(f" {text}") == f" {text}"
    assert cell(text[::-1]) == text[::-1]


def test_an_error_that_quotes_a_stranger_is_one_harmless_line() -> None:
    assert str(InputError("'\x1b]0;x\x07' is\n  no name")) == r"'\x1b]0;x\x07' is no name"


def test_folders_whose_names_are_no_text_are_classes(tmp_path: Path) -> None:
    image = samples.images()[1]
    for name in (b"\xff\xfe", b"a\x1b[31m", "\u202egod".encode()):
        samples.class_folder(tmp_path, {f"{os.fsdecode(name)}/1.png": image})
    dataset = load_dataset(tmp_path)
    assert set(dataset.classes) == {r"\udcff\udcfe", r"a\x1b[31m", r"\u202egod"}
    assert dataset.prepared is not None
    for file in dataset.prepared.files or []:
        assert visible(file) == file


def test_two_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1)), y=[0, 1], classes=["a\x00b", r"a\x00b"])
    with pytest.raises(InputError, match="two classes are called"):
        load_dataset(tmp_path / "x.npz")


def test_the_name_that_is_there_twice_is_found_among_many(tmp_path: Path) -> None:
    names = np.array([*map(str, range(30_000)), "29999"])
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1)), y=[0, 1], classes=names)
    with pytest.raises(InputError, match="'29999'"):
        load_dataset(tmp_path / "x.npz")


@fuzzed
@given(end=st.text(max_size=400))
def test_a_source_that_is_none_is_one_line(end: str) -> None:
    assert answer(lambda: load_dataset(f"nowhere{end}")) is None


@pytest.mark.parametrize("source", ["x" * 5000, "~nobody-of-that-name/x", "a\x00b", "", "\udcff"])
def test_a_source_that_no_system_could_open_is_one_line(source: str) -> None:
    with pytest.raises(InputError):
        load_dataset(source)

"""Texts as n-grams, and the words that speak for another label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from byheart.data import Dataset, load_dataset
from byheart.data.ngrams import SCALE, marked, speaking
from byheart.errors import InputError

GOOD = ["a fine film", "fine and funny", "what a funny film", "so fine", "a funny, fine story"]
BAD = ["a dull film", "dull and long", "what a long film", "so dull", "a long, dull story"]


def frame(good: list[str] = GOOD, bad: list[str] = BAD) -> pd.DataFrame:
    return pd.DataFrame({"year": 2001, "text": good + bad, "mood": ["+"] * 5 + ["-"] * 5})


def load(table: pd.DataFrame) -> Dataset:
    return load_dataset(table, label="mood", text="text")


def test_texts_become_n_grams_of_one_length() -> None:
    dataset = load(frame())
    assert (dataset.kind, dataset.classes) == ("text", ("+", "-"))
    np.testing.assert_allclose(np.linalg.norm(dataset.x.numpy(), axis=1), SCALE, 1e-5)
    assert dataset.prepared is not None
    assert {"film", "dull", "a funny"} <= set(dataset.prepared.features)
    assert dataset.prepared.texts == GOOD + BAD
    assert "words and pairs of words" in dataset.prepared.notes[1]


def test_texts_without_spaces_become_letters() -> None:
    texts = ["この映画は本当に面白い", "とても退屈な映画でした", "面白い物語と音楽でした"]
    dataset = load(frame([*texts, *texts[:2]], [f"{text}ね" for text in [*texts, *texts[:2]]]))
    assert "映画" in getattr(dataset.prepared, "features", ())


def test_words_that_speak_for_the_other_label_are_marked() -> None:
    wrong = frame(bad=["a fine, funny film", *BAD[1:]])
    dataset = load(wrong)
    counts = np.bincount(dataset.y.numpy())
    x, means = dataset.x[5].numpy(), dataset.class_means.numpy()
    best = speaking(x, means, counts, 1, 0)
    words = [getattr(dataset.prepared, "features", ())[j] for j in best]
    assert words[0] == "fine" and "funny" in words and "film" not in words
    pieces = marked("A fine, funny film", ["fine", "funny film"])
    assert pieces == (
        ("A ", False), ("fine", True), (", ", False), ("funny film", True)
    )  # fmt: skip


def test_the_text_itself_does_not_count() -> None:
    dataset = load(frame(good=["odd " + text for text in GOOD], bad=["odd", *BAD[1:]]))
    counts = np.bincount(dataset.y.numpy())
    for label, suggested in ((0, 1), (1, 0)):
        i = 5 * label
        best = speaking(dataset.x[i].numpy(), dataset.class_means.numpy(), counts, label, suggested)
        words = [getattr(dataset.prepared, "features", ())[j] for j in best]
        assert ("odd" in words) == (suggested == 0)


def test_marks_keep_every_character() -> None:
    text = "It's not bad (not bad?) - badly so, naïve <b>"
    pieces = marked(text, ["not bad", "bad", "naïve"])
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, speaks in pieces if speaks] == ["not bad", "not bad", "naïve"]
    assert marked("映画", ["画"], within_words=True) == (("映", False), ("画", True))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([*GOOD[:3], " ", None], r"2 of 10 texts in column 'text' are empty, the first in row 3"),
        ([f"only{i}" for i in range(5)], "no word of column 'text' is in two texts"),
    ],
)
def test_texts_that_cannot_be_used_get_one_clear_line(texts: list[str], message: str) -> None:
    bad = BAD if None in texts else [f"word{i}" for i in range(5)]
    with pytest.raises(InputError, match=message):
        load(frame(texts, bad))


def test_a_text_that_looks_like_a_gap_or_a_number_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,mood\nnull,+\nNA,-\n12,+\nnull 12,-\nNA,+\n")
    dataset = load_dataset(path, label="mood", text="text")
    assert dataset.prepared is not None
    assert dataset.prepared.texts == ["null", "NA", "12", "null 12", "NA"]


def test_the_nearest_text_column_is_named() -> None:
    with pytest.raises(InputError, match="unknown text column 'texts': did you mean 'text'"):
        load_dataset(frame(), label="mood", text="texts")

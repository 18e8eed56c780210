"""Texts as bags of n-grams, and the words of a text that speak for another label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from byheart.data.files import require_room
from byheart.errors import InputError
from byheart.texts import visible

MOST_NGRAMS = 8192
"""N-grams that become inputs: the most frequent ones."""
FEWEST_TEXTS = 2
"""Texts in which an n-gram must occur."""
WORDS = r"(?u)\b\w+\b"
FEW_WORDS, MANY_LETTERS = 2, 8
"""Texts with fewer words but more letters on average are of a script without spaces."""
LETTERS = 3
"""Longest sequence of letters that is an input."""
SCALE = 8.0
"""Length of the vector of a text. Networks would hardly learn from inputs of length 1."""

MOST_SPEAKING = 6
"""N-grams of a text that are marked."""
WEAK = 0.25
"""An n-gram with a smaller share of the strongest support is not marked."""

Floats = npt.NDArray[np.float32]


def to_ngrams(
    name: str, column: str, texts: pd.Series[Any]
) -> tuple[Floats, tuple[str, ...], list[str]]:
    """Return the inputs [N, D] of texts, the n-gram of each, and what was done in words.

    N-grams are words and pairs of words, or one to three letters where a script has no spaces.
    Formula: (1 + log tf) * idf, with vectors of length 8; see scikit-learn's ``TfidfVectorizer``.

    Args:
        name: the data set, for errors.
        column: the column of the texts, for errors.
        texts: one per example.

    Raises:
        InputError: texts that are empty, or have no n-gram in common.
    """
    words = _require_texts(name, column, texts)
    letters = float(np.mean([len(text) for text in words]))
    count = float(np.mean([len(text.split()) for text in words]))
    by_letter = count < FEW_WORDS and letters > MANY_LETTERS
    vectorizer = TfidfVectorizer(
        analyzer="char" if by_letter else "word",
        ngram_range=(1, LETTERS) if by_letter else (1, 2),
        token_pattern=None if by_letter else WORDS,
        sublinear_tf=True,
        min_df=FEWEST_TEXTS,
        max_features=MOST_NGRAMS,
        dtype=np.float32,
    )
    try:
        matrix = vectorizer.fit_transform(words)
    except ValueError:
        raise InputError(
            f"data set '{name}': no word of column '{column}' is in two texts: give texts of words"
        ) from None
    require_room(name, matrix.shape)
    inputs = matrix.toarray()
    inputs *= SCALE
    empty = int((matrix.getnnz(axis=1) == 0).sum())
    kind = "sequences of one to three letters" if by_letter else "words and pairs of words"
    notes = [
        f"Texts in column '{column}' became {inputs.shape[1]:,} inputs: the most frequent {kind}, "
        "weighted by tf-idf, fitted on all texts, without the labels"
    ]
    if empty:
        notes.append(f"{empty:,} texts have none of these, so that nothing is known of them")
    features = tuple(visible(str(feature)) for feature in vectorizer.get_feature_names_out())
    return inputs, features, notes


def _require_texts(name: str, column: str, texts: pd.Series[Any]) -> list[str]:
    """Return texts, each with a character that is seen."""
    words = ["" if value is None or value is pd.NA or value != value else str(value)
             for value in texts.tolist()]  # fmt: skip
    empty = [i for i, text in enumerate(words) if not text.strip()]
    if empty:
        raise InputError(
            f"data set '{name}': {len(empty):,} of {len(words):,} texts in column '{column}' are "
            f"empty, the first in row {texts.index[empty[0]]}: remove these rows, or fill them in"
        )
    return words


def speaking(
    x: Floats, means: Floats, counts: npt.NDArray[np.int64], label: int, suggested: int
) -> npt.NDArray[np.int64]:
    """Return the n-grams of a text that speak most for the suggested label, the strongest first.

    They are more frequent in texts with the suggested label than in the other texts with its own.
    The text itself does not count. Formula: x_j * log(p_j(suggested) / p_j(label)), with p_j(k) the
    share of n-gram j in the sum of all inputs of class k, plus one each.

    Args:
        x: inputs [D] of the text.
        means: mean inputs of each class [classes, D].
        counts: examples of each class [classes].
        label: class of the text.
        suggested: the other class.

    Source: multinomial naive Bayes; Rennie et al. (2003), section 2.
    """
    own = (means[label] * counts[label] - x).clip(min=0) / SCALE + 1
    other = means[suggested] * counts[suggested] / SCALE + 1
    support = np.where(x > 0, x / SCALE * np.log(other / other.sum() * own.sum() / own), 0)
    best = np.argsort(-support, kind="stable")[:MOST_SPEAKING]
    strong = support[best] > max(0, WEAK * support[best[0]])
    return np.asarray(best[strong])


def marked(
    text: str, ngrams: Sequence[str], *, within_words: bool = False
) -> tuple[tuple[str, bool], ...]:
    """Return a text in pieces, each with whether it is one of some n-grams.

    With ``within_words``, the n-grams are letters, which may stand within a word.
    """
    patterns = [r"\W+".join(map(re.escape, ngram.split())) for ngram in ngrams if ngram.strip()]
    if not patterns:
        return ((text, False),)
    # Longest first: of a word and a pair that begins with it, the pair is marked.
    either = "|".join(sorted(patterns, key=len, reverse=True))
    edge = "" if within_words else r"\b"
    pieces = re.split(f"({edge}(?:{either}){edge})", text, flags=re.IGNORECASE)
    return tuple((piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece)


def are_letters(features: Sequence[str]) -> bool:
    """Return whether the n-grams of a data set are sequences of letters."""
    return max(map(len, features)) <= LETTERS

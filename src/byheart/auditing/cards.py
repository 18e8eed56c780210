"""Examples as the page of an audit shows them: picture or text, labels, and all scores."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from byheart.auditing.result import AuditResult
from byheart.data.dataset import Dataset
from byheart.data.ngrams import are_letters, marked, speaking
from byheart.data.preparation import Preparation
from byheart.report.numbers import NOTHING, number

MOST_LETTERS = 400
"""Letters of a text that are shown; its id leads to the whole text."""
SIDES = (128, 96, 80, 64, 48, 32)
"""Pixels on the longer side of a picture: the largest is taken at which all pictures fit."""
MOST_BYTES = 3_000_000
"""Largest size of a section's pictures before compression, in bytes."""
MOST_VALUES = 12
"""Numbers of an input that are written out."""
MOST_FIELDS = 40
"""Columns of a row that are written out."""


@dataclass(frozen=True)
class Column:
    """A column of the table, in the words of the page.

    Attributes:
        name: in the table.
        title: on the page.
        how: it is computed.
        source: source of the idea.
    """

    name: str
    title: str
    how: str
    source: str = ""


_NO_FIELDS: tuple[tuple[str, str], ...] = ()
_NO_PARTS: tuple[tuple[str, bool], ...] = ()
_AUM = "Pleiss et al. 2020"
_CARTOGRAPHY = "Swayamdipta et al. 2020"
_FORGETTING = "Toneva et al. 2019"
_FELDMAN = "Feldman and Zhang 2020"

COLUMNS = (
    Column(
        "suspicion",
        "suspicion",
        "minus the margin (logit of the label minus the largest other logit), averaged over runs "
        "and over epochs up to twice the onset; above 0 another class led",
        f"area under the margin, {_AUM}, over a window",
    ),
    Column(
        "p_wrong",
        "P(wrong)",
        "probability that the label is wrong, estimated from reviewed examples of about the same "
        "rank; unknown without reviews",
    ),
    Column("suggested", "suggested label", "the likeliest class besides the label"),
    Column(
        "suggested_probability",
        "P(suggested)",
        "mean probability of the suggested label, over epochs and runs",
    ),
    Column(
        "p_correct",
        "P(correct)",
        "share of epochs and runs in which the network predicted the label",
        "Arpit et al. 2017, section 3.1",
    ),
    Column(
        "cumulative_loss", "cumulative loss", "sum of the loss over epochs", "Huang et al. 2019"
    ),
    Column("aum", "area under the margin", "mean margin over epochs", _AUM),
    Column("confidence", "confidence", "mean probability of the label over epochs", _CARTOGRAPHY),
    Column(
        "variability",
        "variability",
        "standard deviation of the probability of the label over epochs",
        _CARTOGRAPHY,
    ),
    Column(
        "loss_variability",
        "variability of the loss",
        "standard deviation of the loss over epochs",
        _CARTOGRAPHY,
    ),
    Column(
        "first_learned",
        "first learned",
        "the epoch in which the network first predicted the label",
        _FORGETTING,
    ),
    Column(
        "never_learned",
        "never learned",
        "share of runs that never predicted the label",
        _FORGETTING,
    ),
    Column(
        "forgetting_events",
        "forgetting events",
        "how often the prediction changed from right to wrong",
        _FORGETTING,
    ),
    Column(
        "sensitivity",
        "loss-sensitivity",
        "norm of the gradient of the loss with respect to the input, averaged up to the onset",
        "Arpit et al. 2017, section 3.2",
    ),
    Column(
        "critical",
        "critical",
        "whether an input close by is predicted as another class",
        "Arpit et al. 2017, section 4",
    ),
    Column(
        "memorization",
        "memorization",
        "P(correct) of networks trained with the example, minus P(correct) of networks trained "
        "without it",
        _FELDMAN,
    ),
    Column("memorization_error", "its standard error", "", _FELDMAN),
    Column(
        "influenced_by",
        "influenced by",
        "the training example whose removal lowers P(correct) of this one most",
        _FELDMAN,
    ),
    Column("influence", "influence", "by how much it lowers P(correct)", _FELDMAN),
    Column("influence_error", "its standard error", "", _FELDMAN),
    Column("epochs_seen", "epochs seen", "over all runs"),
)
COLUMN_OF_LOSSES = Column(
    "suspicion", "suspicion", "mean loss over the first epochs and over runs", "Huang et al. 2019"
)
"""The column of suspicion where runs were tracked by a loss."""
_SHOWN_ELSEWHERE = frozenset(
    {"label", "suspicion", "p_wrong", "flagged", "suggested", "verdict", "evidence"}
    | {"doubt", "reviewed", "conflicts_with", "file", "row", "target"}
)
"""Columns that a card shows above its list of scores."""


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a label; nothing for -1."""
    return classes[label] if 0 <= label < len(classes) else ""


def with_names(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a copy of a table with the names of classes beside their numbers."""
    named = table.copy()
    for column in ("label", "suggested"):
        names = [class_name(classes, label) for label in table[column].tolist()]
        named.insert(list(named.columns).index(column) + 1, f"{column}_name", names)
    return named


@dataclass(frozen=True)
class Thumbnail:
    """A picture in the page: a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """What the page shows of an example; what is unknown is None or empty.

    ``origin`` is its file or row. An input that is no picture has a ``text``: words or numbers; a
    row of a table has ``fields``: column and value. ``parts`` are the pieces of a text, and whether
    each speaks for the suggested label.
    ``scores`` are title and value of all columns that have no place of their own.
    """

    id: int
    label: str
    suggested: str
    verdict: str
    suspicion: float | None
    p_wrong: float | None
    evidence: str
    origin: str
    picture: Thumbnail | None
    text: str
    parts: tuple[tuple[str, bool], ...]
    fields: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, str], ...]


def cards(
    audit: AuditResult, ids: Iterable[int], *, texts: Sequence[str] | None, with_scores: bool
) -> list[Card]:
    """Return the cards of some examples, in the order of their ids.

    Each of ``texts`` is shown instead of the input of its example.
    """
    chosen = list(ids)
    dataset = audit.dataset
    inputs = None if dataset is None else dataset.x.cpu().numpy()
    prepared = None if dataset is None else dataset.prepared
    columns = _score_columns(audit.table) if with_scores else []
    side = _side(inputs, len(chosen))
    rows = audit.table.loc[chosen].reset_index().to_dict("records")
    made = []
    for row in rows:
        i = int(row["id"])
        picture, text, fields, parts = None, "", _NO_FIELDS, _NO_PARTS
        if texts is not None:
            text = _shortened(str(texts[i]))
        elif dataset is not None and dataset.kind == "text" and prepared is not None:
            parts = in_parts(dataset, prepared, i, int(row["suggested"]))
        elif prepared is not None and prepared.kind == "table" and prepared.rows is not None:
            fields = in_fields(prepared.rows.iloc[i])
        elif dataset is not None and inputs is not None and dataset.kind == "images":
            picture = thumbnail(
                inputs[i], side, (0, 1) if prepared is None else prepared.shown_range
            )
        elif inputs is not None:
            text = in_numbers(inputs[i])
        origin = str(row.get("file", "")) or (f"row {row['row']}" if "row" in row else "")
        scores = tuple((column.title, _in_words(row[column.name], column)) for column in columns)
        made.append(
            Card(
                id=i,
                label=number(row["target"])
                if "target" in row
                else class_name(audit.classes, int(row["label"])),
                suggested=class_name(audit.classes, int(row["suggested"])),
                verdict=str(row["verdict"]),
                suspicion=None if pd.isna(row["suspicion"]) else float(row["suspicion"]),
                p_wrong=None if pd.isna(row["p_wrong"]) else float(row["p_wrong"]),
                evidence=str(row["evidence"]),
                origin=origin,
                picture=picture,
                text=text,
                parts=parts,
                fields=fields,
                scores=scores,
            )
        )
    return made


def _score_columns(table: pd.DataFrame) -> list[Column]:
    """Return the columns that a card lists; those that the page does not explain come last."""
    names = [name for name in map(str, table.columns) if name not in _SHOWN_ELSEWHERE]
    explained = {column.name for column in COLUMNS}
    others = [Column(name, name.replace("_", " "), "") for name in names if name not in explained]
    return [column for column in COLUMNS if column.name in names] + others


def _in_words(value: Any, column: Column) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if pd.isna(value) or (column.name == "influenced_by" and value < 0):
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else number(float(value))


def _side(inputs: NDArray[Any] | None, count: int) -> int:
    """Return the largest side in pixels at which so many pictures fit into the page."""
    channels = 3 if inputs is not None and inputs.ndim == 4 else 1
    fitting = (side for side in SIDES if count * channels * side**2 <= MOST_BYTES)
    return next(fitting, SIDES[-1])


def thumbnail(x: NDArray[Any], side: int, shown: tuple[float, float] = (0, 1)) -> Thumbnail:
    """Return an input [H, W] or [channels, H, W] as a PNG of ``side`` pixels or fewer.

    Three channels are red, green and blue; any other number is averaged into grey. ``shown`` are
    the values that become black and white.
    """
    pixels = x[..., None] if x.ndim == 2 else np.moveaxis(x, 0, -1)
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(-1, keepdims=True)
    small = _averaged(pixels.astype(np.float64), math.ceil(max(pixels.shape[:2]) / side))
    low, high = shown
    # Inputs that were replaced by Gaussian noise leave the range.
    shades = np.rint(255 * ((small - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(shades.squeeze(-1) if shades.shape[-1] == 1 else shades).save(
        file, "PNG", optimize=True
    )
    data = base64.b64encode(file.getvalue()).decode()
    return Thumbnail(f"data:image/png;base64,{data}", small.shape[1], small.shape[0])


def in_parts(
    dataset: Dataset, prepared: Preparation, i: int, suggested: int
) -> tuple[tuple[str, bool], ...]:
    """Return the text of an example in pieces, and whether each speaks for the suggested label."""
    rows = prepared.rows
    assert rows is not None
    text = _shortened(str(rows[prepared.text].iloc[i]))
    label = int(dataset.y[i])
    if suggested < 0 or suggested == label:
        return ((text, False),)
    counts = np.bincount(dataset.y.numpy(), minlength=dataset.n_classes)
    best = speaking(dataset.x[i].numpy(), dataset.class_means.numpy(), counts, label, suggested)
    features = prepared.features
    return marked(text, [features[j] for j in best], within_words=are_letters(features))


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"


def in_fields(row: pd.Series[Any]) -> tuple[tuple[str, str], ...]:
    """Return the first columns of a row with their values, and how many more there are."""
    fields = [(str(column), _value(row[column])) for column in row.index[:MOST_FIELDS]]
    more = len(row) - MOST_FIELDS
    return (*fields, *([("further columns", f"{more:,}")] if more > 0 else []))


def _value(value: Any) -> str:
    """Return a value of a row as its reader would write it."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if not isinstance(value, list | dict | np.ndarray) and pd.isna(value):
        return NOTHING
    if isinstance(value, float | np.floating):
        return f"{value:,.10g}"
    if isinstance(value, pd.Timestamp) and value == value.normalize():
        return str(value.date())
    return _shortened(str(value))


def in_numbers(x: NDArray[Any]) -> str:
    """Return the first values of an input, and how many there are."""
    values = x.reshape(-1)
    shown = ", ".join(f"{value:.3g}" for value in values[:MOST_VALUES].tolist())
    return shown if len(values) <= MOST_VALUES else f"{shown}, … ({len(values):,} values)"


def _averaged(pixels: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Return the means of blocks of step x step pixels; those at the far edges may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], step)
        sizes = np.diff(np.append(starts, pixels.shape[axis]))
        sums: NDArray[np.float64] = np.add.reduceat(pixels, starts, axis=axis)
        pixels = sums / sizes.reshape(-1, *[1] * (2 - axis))
    return pixels

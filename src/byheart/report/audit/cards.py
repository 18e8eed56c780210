"""One example as the page shows it: its picture or text, its labels, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from byheart.report.audit.columns import Column, class_name, further
from byheart.report.audit.facts import AuditFacts
from byheart.report.audit.thumbnails import Thumbnail, in_numbers, is_picture, thumbnail
from byheart.report.numbers import NOTHING, number

MOST_LETTERS = 400
"""Of a text; the table has ids, by which the whole is found."""
SIDES = (128, 96, 80, 64, 48)
"""Pixels on the longer side of a picture: the largest for which all have room."""
ROOM = 3_000_000
"""Bytes that the pictures of a set may take before they are packed."""


@dataclass(frozen=True)
class Card:
    """What is shown of an example.

    Attributes:
        id: in the table.
        label: its name.
        suggested: name of the suggested label; empty if there is none.
        verdict: a word; empty if there is none.
        suspicion: the score; None if the example has none.
        p_wrong: the probability that its label is wrong; None if it is not known.
        evidence: in words; may be empty.
        origin: where the example comes from, if the table says so.
        picture: if its input is one.
        text: else what it is, in words or numbers; may be empty.
        scores: the other columns, each a title and a value.
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
    scores: tuple[tuple[str, str], ...]


def cards(facts: AuditFacts, ids: Iterable[int], *, scores: bool) -> list[Card]:
    """Return the cards of some examples, in their order.

    Args:
        facts: of the audit.
        ids: of the examples.
        scores: list all scores as well.
    """
    chosen = list(ids)
    rows = facts.table.loc[chosen]
    columns = further(facts.table) if scores else []
    side = _side(facts, len(chosen))
    return [_card(facts, row, columns, side) for row in rows.reset_index().to_dict("records")]


def _card(facts: AuditFacts, row: dict[Any, Any], columns: Sequence[Column], side: int) -> Card:
    i = int(row["id"])
    picture, text = _shown(facts, i, side)
    origin = str(row.get("file", "")) or (f"row {row['row']}" if "row" in row else "")
    return Card(
        id=i,
        label=class_name(facts.classes, int(row["label"])),
        suggested=class_name(facts.classes, int(row["suggested"])),
        verdict=str(row["verdict"]),
        suspicion=_known(row["suspicion"]),
        p_wrong=_known(row["p_wrong"]),
        evidence=str(row["evidence"]),
        origin=origin,
        picture=picture,
        text=text,
        scores=tuple((one.title, _in_words(row[one.name], one.name)) for one in columns),
    )


def _shown(facts: AuditFacts, i: int, side: int) -> tuple[Thumbnail | None, str]:
    if facts.texts is not None:
        text = str(facts.texts[i])
        return None, text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
    if facts.inputs is None:
        return None, ""
    x = facts.inputs[i]
    return (thumbnail(x, side), "") if is_picture(x.shape) else (None, in_numbers(x))


def _side(facts: AuditFacts, count: int) -> int:
    """Return the largest side at which so many pictures have room."""
    if facts.texts is not None or facts.inputs is None or not is_picture(facts.inputs.shape[1:]):
        return 0
    channels = 3 if facts.inputs.ndim == 4 else 1
    fitting = (side for side in SIDES if count * channels * side**2 <= ROOM)
    return next(fitting, SIDES[-1])


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _in_words(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if pd.isna(value) or (name == "influenced_by" and value < 0):
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else number(float(value))

"""The page of an audit: one HTML file that needs no network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from byheart.charts.drawn import draw
from byheart.files import write_text
from byheart.report.audit.cards import cards
from byheart.report.audit.columns import class_name, explained, with_names
from byheart.report.audit.facts import VERDICTS, AuditFacts
from byheart.report.audit.map import draw_map
from byheart.report.audit.selection import Selection, select
from byheart.report.frame import environment, shell
from byheart.report.table import frame_csv

FIRST = 24
"""Cards that stand in the gallery before a reader asks for the rest."""
CONFUSIONS = 10


@dataclass(frozen=True)
class Share:
    """How many examples have a verdict, and where they lie on the map on average."""

    verdict: str
    examples: int
    flagged: int
    p_correct: float | None


def write_audit_page(path: Path, facts: AuditFacts) -> Path:
    """Write the page, and return its path. Equal facts give equal bytes.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    return write_text(path, render(facts))


def render(facts: AuditFacts) -> str:
    """Return the page as HTML."""
    selection = select(facts.table, facts.ranking, facts.listed)
    chosen = draw_map(facts.table, facts.classes, selection)
    figures = [draw(one) if one else None for one in (facts.onset, facts.belief)]
    page: str = (
        environment()
        .get_template("audit.html")
        .render(
            facts=facts,
            map=chosen,
            onset=figures[0],
            belief=figures[1],
            selection=selection,
            gallery=cards(facts, selection.gallery.tolist(), scores=True),
            others=cards(facts, selection.others.tolist(), scores=False) if chosen else [],
            pairs=_pairs(facts, selection),
            first=FIRST,
            shares=_shares(facts.table),
            confusions=_confusions(facts, selection),
            columns=list(explained(facts.table)),
            list_csv=_list(facts, selection),
            **shell(
                ["page.css", "audit.css"],
                ["charts.js", "audit.js"],
                with_charts=any((chosen, *figures)),
            ),
        )
    )
    return page


def _pairs(facts: AuditFacts, selection: Selection) -> list[Any]:
    shown = [i for pair in selection.pairs for i in pair]
    made = cards(facts, shown, scores=False)
    return list(zip(made[::2], made[1::2], strict=True))


def _shares(table: pd.DataFrame) -> list[Share]:
    def share(verdict: str) -> Share:
        rows = table[table["verdict"] == verdict]
        known = "p_correct" in table and rows["p_correct"].notna().any()
        p_correct = float(np.nanmean(rows["p_correct"])) if known else None
        return Share(verdict, len(rows), int(rows["flagged"].sum()), p_correct)

    return [one for one in map(share, VERDICTS) if one.examples]


def _confusions(facts: AuditFacts, selection: Selection) -> list[tuple[str, str, int]]:
    """Return which labels look like which others, and how often, among flagged examples."""
    rows = facts.table.loc[selection.flagged.tolist()]
    rows = rows[rows["suggested"] >= 0]
    counts = Counter(zip(rows["label"].tolist(), rows["suggested"].tolist(), strict=True))
    named = (
        (class_name(facts.classes, a), class_name(facts.classes, b), count)
        for (a, b), count in counts.items()
    )
    return sorted(named, key=lambda one: (-one[2], one[:2]))[:CONFUSIONS]


def _list(facts: AuditFacts, selection: Selection) -> str:
    """Return all flagged examples as CSV, in the order of the list; if none is, those shown."""
    ids = selection.flagged if len(selection.flagged) else selection.gallery
    rows = with_names(facts.table.loc[ids.tolist()], facts.classes)
    return frame_csv(rows)

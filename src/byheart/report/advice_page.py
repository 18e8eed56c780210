"""The page of an advice: one HTML file that needs no network; it computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from byheart.charts.drawn import draw
from byheart.charts.figure import Figure
from byheart.files import write_text
from byheart.report.frame import environment, shell
from byheart.report.table import frame_csv


@dataclass(frozen=True, eq=False)
class AdviceFacts:
    """The facts of one advice. The page holds nothing else: no clock, no host.

    Attributes:
        name: of the data set.
        recommended: name of the regularizer with its strength; empty if there is none.
        why: that choice in a sentence.
        code: to paste; empty if nothing is recommended.
        rows: of the table, those that fresh seeds judged, and those that cannot be applied.
        table: all of it, to download.
        figures: the charts, in order.
        notes: what a reader should know, in a sentence each.
        margin: accuracy that may be lost.
        trusted: examples are trusted, and accuracies on these alone are known.
        about: further facts of the run, by name.
        version: of byheart.
    """

    name: str
    recommended: str
    why: str
    code: str
    rows: pd.DataFrame
    table: pd.DataFrame
    figures: Sequence[Figure]
    notes: Sequence[str]
    margin: float
    trusted: bool
    about: Mapping[str, str]
    version: str


def write_advice_page(path: Path, facts: AdviceFacts) -> Path:
    """Write the page, and return its path. Equal facts give equal bytes.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    return write_text(path, render(facts))


def render(facts: AdviceFacts) -> str:
    """Return the page as HTML."""
    page: str = (
        environment()
        .get_template("advice.html")
        .render(
            facts=facts,
            rows=facts.rows.to_dict(orient="records"),
            csv=frame_csv(facts.table, index=False),
            figures=[draw(figure) for figure in facts.figures],
            **shell(["page.css", "advice.css"], ["charts.js", "advice.js"], with_charts=True),
        )
    )
    return page

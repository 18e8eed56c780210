"""The advice: a recommendation, the table behind it, and its files."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.files import write_text
from byheart.statistics.estimate import Estimate

CSV, JSON, PAGE = "advice.csv", "advice.json", "report.html"

COLUMNS = (
    "name", "regularizer", "strength", "stage", "n", "verdict",
    "memorization", "memorization_low", "memorization_high", "area",
    "drop", "drop_low", "drop_high",
    "accuracy", "accuracy_low", "accuracy_high",
    "cost", "cost_low", "cost_high",
    "trusted", "trusted_low", "trusted_high",
    "trusted_gain", "trusted_gain_low", "trusted_gain_high", "reason",
)  # fmt: skip
NOTEBOOK_COLUMNS = ("name", "stage", "n", "verdict", "memorization", "accuracy", "drop", "cost")


@dataclass(frozen=True)
class Recommendation:
    """A regularizer at a strength, and its effect on seeds that had no part in choosing it.

    Attributes:
        name: name of the regularizer with its strength.
        regularizer: its name alone.
        strength: its strength.
        drop: by how much it lowers the training accuracy on random labels.
        gain: by how much it raises accuracy on held-out examples.
        trusted_gain: the same on those that an audit did not flag; None without an audit.
        n: number of seeds that the three estimates rest on.
    """

    name: str
    regularizer: str
    strength: float
    drop: Estimate
    gain: Estimate
    trusted_gain: Estimate | None
    n: int

    def as_json(self) -> dict[str, object]:
        """Return the numbers as plain values; without an audit, none on trusted examples."""
        values: dict[str, object] = {
            "regularizer": self.regularizer,
            "strength": self.strength,
            "drop": self.drop.value,
            "drop_ci": [self.drop.low, self.drop.high],
            "gain": self.gain.value,
            "gain_ci": [self.gain.low, self.gain.high],
            "n": self.n,
        }
        if self.trusted_gain is not None:
            low, high = self.trusted_gain.low, self.trusted_gain.high
            values |= {"trusted_gain": self.trusted_gain.value, "trusted_gain_ci": [low, high]}
        return values


@dataclass(frozen=True, eq=False)
class Advice:
    """Which regularizer stops memorization here, and what each costs.

    Attributes:
        name: name of the data set.
        table: one row per regularizer and strength: ``name`` (of both), ``regularizer``,
            ``strength``, ``stage`` ("explored": on seeds that chose the strength; "compared": on
            fresh ones; "confirmed": on seeds that are fresh again), ``n`` (seeds), ``verdict`` (of
            rows that were compared or confirmed: "helps", "no effect", "costs", "unclear",
            "diverged"; else "", or "not applicable"), ``memorization`` (training accuracy on
            random labels at the end) with its 90% interval, ``area`` (the same, mean over the
            checkpoints, which are even in the logarithm of the epoch), ``drop`` (memorization
            without minus with, paired by seed), ``accuracy`` (on held-out examples, by the user's
            labels), ``cost`` (accuracy without minus with, paired by seed), ``trusted`` (accuracy
            on held-out examples that an audit did not flag; missing if none was given),
            ``trusted_gain`` (the same with minus without, paired by seed) and ``reason`` (why it
            cannot be applied).
        recommended: the regularizer to take; None if there is none.
        why: reason for the choice, in a sentence.
        code: code to paste; empty if nothing is recommended.
        front: the rows of the table that were compared and are undominated, and without a
            regularizer if it is one of them, by memorization.
        checkpoints: the epochs at which accuracy was taken.
        curves: by name of an arm, [2, S, C] training accuracy on the user's and on random labels.
        margin: accuracy that may be lost.
        seconds: time that the advice took.
        notes: remarks for the reader, one sentence each.
        facts: what trained, by name: the network, the recipe.
    """

    name: str
    table: pd.DataFrame
    recommended: Recommendation | None
    why: str
    code: str
    front: pd.DataFrame
    checkpoints: tuple[int, ...]
    curves: Mapping[str, NDArray[np.float64]]
    margin: float
    seconds: float
    notes: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_html(self, path: str | Path, *, about: Mapping[str, str] | None = None) -> Path:
        """Write the page: the recommendation, Figures 10 and 11 for these data, and the table.

        Args:
            path: path of the file; folders that do not exist are made.
            about: further facts to give, by name.

        Returns:
            The path.

        Raises:
            StoreError: it cannot be written.
        """
        # The charts take longer to load than most callers should wait.
        from byheart.advising import figures
        from byheart.charts.drawn import draw
        from byheart.report.frame import frame_csv, render_page

        table = self.table
        drawn = (
            figures.costs(table, self.front),
            figures.strengths(table),
            figures.curves(self.front, self.curves, self.checkpoints),
        )
        page = render_page(
            "advice.html",
            with_charts=True,
            advice=self,
            rows=table[self._assessed].to_dict(orient="records"),
            csv=frame_csv(table, index=False),
            figures=[draw(figure) for figure in drawn],
            trusted=bool(table["trusted"].notna().any()),
            about={**self.facts, **(about or {})},
        )
        return write_text(Path(path), page)

    def __repr__(self) -> str:
        name = self.recommended.name if self.recommended else "no recommendation"
        return f"Advice for {self.name}: {name}\n  {self.why}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the recommendation, its code and the compared rows."""
        name = self.recommended.name if self.recommended else "no recommendation"
        code = f"<pre>{html.escape(self.code)}</pre>" if self.code else ""
        rows = self.table.loc[self._assessed, list(NOTEBOOK_COLUMNS)]
        return (
            f"<p><b>Advice for {html.escape(self.name)}: {html.escape(name)}</b></p>"
            f"<p>{html.escape(self.why)}</p>{code}"
            f"{rows.to_html(index=False, float_format='{:.3f}'.format)}"
        )

    @property
    def _assessed(self) -> pd.Series[bool]:
        """Rows that were compared or confirmed, or cannot be applied."""
        stage, verdict = self.table["stage"], self.table["verdict"]
        return stage.isin(["confirmed", "compared"]) | (verdict == "not applicable")

    def as_json(self) -> dict[str, object]:
        """Return what there is to say, as plain values; missing numbers are None."""
        return {
            "data": self.name,
            "recommended": None if self.recommended is None else self.recommended.as_json(),
            "why": self.why,
            "code": self.code,
            "margin": self.margin,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
            "run": dict(self.facts),
            "front": _rows(self.front),
            "table": _rows(self.table),
        }


def write_advice(folder: Path, advice: Advice, about: Mapping[str, str]) -> list[Path]:
    """Write the files of an advice: the table, the numbers and the page.

    Each file is written as a whole or not at all.

    Args:
        folder: folder of the page; made if it does not exist.
        advice: the advice.
        about: further facts for the page, by name.

    Returns:
        The paths that were written, the page last.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    from byheart.report.frame import frame_csv

    text = json.dumps(advice.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    return [
        write_text(folder / CSV, frame_csv(advice.table, index=False)),
        write_text(folder / JSON, f"{text}\n"),
        advice.to_html(folder / PAGE, about=about),
    ]


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {str(key): _plain(value) for key, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
    return rows


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

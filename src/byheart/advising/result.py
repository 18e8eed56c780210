"""What an advice comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.statistics.estimate import Estimate

COLUMNS = (
    "name", "regularizer", "strength", "stage", "n", "verdict",
    "memorization", "memorization_low", "memorization_high", "area",
    "drop", "drop_low", "drop_high",
    "accuracy", "accuracy_low", "accuracy_high",
    "cost", "cost_low", "cost_high",
    "trusted", "trusted_low", "trusted_high",
    "trusted_gain", "trusted_gain_low", "trusted_gain_high", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Recommendation:
    """A regularizer at a strength, and its effect on seeds that had no part in choosing it.

    Attributes:
        name: of the regularizer with its strength.
        regularizer: its name alone.
        strength: how much of it.
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


@dataclass(frozen=True, eq=False)
class Advice:
    """Which regularizer stops memorization here, and what each costs.

    Attributes:
        name: of the data set.
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
        why: that choice in a sentence.
        code: what to paste; empty if nothing is recommended.
        front: the rows of the table that were compared and are undominated, and without a
            regularizer if it is one of them, by memorization.
        checkpoints: the epochs at which accuracy was taken.
        curves: by name of an arm, [2, S, C] training accuracy on the user's and on random labels.
        margin: accuracy that may be lost.
        seconds: that it took.
        notes: what a reader should know, in a sentence each.
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

    def to_html(self, path: str | Path, *, about: Mapping[str, str] | None = None) -> Path:
        """Write the page: the recommendation, Figures 10 and 11 for these data, and the table.

        Args:
            path: of the file; folders that do not exist are made.
            about: further facts to give, by name.

        Returns:
            The path.

        Raises:
            StoreError: it cannot be written.
        """
        # The report takes longer to load than most callers should wait.
        from byheart.advising.page import write_page

        return write_page(self, Path(path), about or {})

    def as_json(self) -> dict[str, object]:
        """Return what there is to say, as plain values; missing numbers are None."""
        one = self.recommended
        return {
            "data": self.name,
            "recommended": None
            if one is None
            else {
                "regularizer": one.regularizer,
                "strength": one.strength,
                "drop": one.drop.value,
                "drop_ci": [one.drop.low, one.drop.high],
                "gain": one.gain.value,
                "gain_ci": [one.gain.low, one.gain.high],
                "n": one.n,
            }
            | _trusted(one.trusted_gain),
            "why": self.why,
            "code": self.code,
            "margin": self.margin,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
            "front": _rows(self.front),
            "table": _rows(self.table),
        }


def _trusted(gain: Estimate | None) -> dict[str, object]:
    if gain is None:
        return {}
    return {"trusted_gain": gain.value, "trusted_gain_ci": [gain.low, gain.high]}


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

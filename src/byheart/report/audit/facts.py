"""What the page of an audit is a function of, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.charts.figure import Figure

VERDICTS = ("mislabelled", "ambiguous", "rare", "typical")
"""In the order of the page."""


@dataclass(frozen=True)
class Alert:
    """One thing that a reader should know first, as a sentence.

    Attributes:
        kind: a finding to act on, one that is well, or a remark.
        text: the sentence.
    """

    kind: Literal["warning", "good", "note"]
    text: str


@dataclass(frozen=True, eq=False)
class AuditFacts:
    """The facts of one audit. The page holds nothing else: no clock, no host.

    Attributes:
        name: of the data set.
        classes: name of each class.
        seeds: number of trainings.
        epochs: of each.
        alerts: what to know first.
        table: one row per example; see :class:`byheart.auditing.result.Audit`. Of the scores, those
            that it has are shown.
        ranking: ids of all examples that have a score, the likeliest to be wrong first.
        listed: ids of the flagged ones, in that order.
        onset: the chart of when memorization sets in, if it was looked for.
        belief: the chart of how far to believe lists of any length, if flips were planted.
        inputs: [N, *shape], drawn as pictures where they are, else given in numbers.
        texts: what to show of each example instead.
        about: further facts of the run, by name.
        version: of byheart.
    """

    name: str
    classes: tuple[str, ...]
    seeds: int
    epochs: int
    alerts: tuple[Alert, ...]
    table: pd.DataFrame
    ranking: NDArray[np.int64]
    listed: NDArray[np.int64]
    onset: Figure | None = None
    belief: Figure | None = None
    inputs: NDArray[Any] | None = None
    texts: Sequence[str] | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

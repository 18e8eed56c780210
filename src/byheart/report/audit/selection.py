"""Which examples the page shows: it would not open if it held a picture of every one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.seeds import generator

Ids = NDArray[np.int64]

GALLERY = 200
"""Flagged examples that are shown with a picture."""
UNFLAGGED = 48
"""Examples that are shown if none is flagged: the most suspect."""
OTHERS = 400
"""Further examples on the map that have a picture: the next most suspect, and as many at random."""
PAIRS = 60
"""Conflicts that are shown."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What is shown.

    Attributes:
        flagged: ids of all flagged examples, the likeliest to be wrong first.
        gallery: ids of those that are shown; if none is flagged, of the most suspect.
        others: ids of further examples on the map.
        pairs: ids of near-duplicates with different labels, the most suspect first.
        conflicts: number of all such pairs.
    """

    flagged: Ids
    gallery: Ids
    others: Ids
    pairs: list[tuple[int, int]]
    conflicts: int


def select(table: pd.DataFrame, ranking: Ids, listed: Ids) -> Selection:
    """Choose what the page shows of a table.

    Args:
        table: of all examples.
        ranking: ids of all that have a score, the likeliest to be wrong first.
        listed: ids of the flagged ones, in that order.
    """
    gallery = listed[:GALLERY] if len(listed) else ranking[:UNFLAGGED]
    rest = ranking[~np.isin(ranking, gallery)]
    near = rest[: OTHERS // 2]
    far = rest[len(near) :]
    drawn = generator("map", 0).permutation(len(far))[: OTHERS - len(near)]
    pairs = conflicting(table)
    return Selection(
        listed, gallery, np.concatenate([near, np.sort(far[drawn])]), pairs[:PAIRS], len(pairs)
    )


def conflicting(table: pd.DataFrame) -> list[tuple[int, int]]:
    """Return all near-duplicates with different labels, the pair of the most suspect first."""
    twins = table["conflicts_with"].to_numpy(np.int64)
    suspicion = table["suspicion"].fillna(-np.inf).to_numpy(np.float64)
    one = np.flatnonzero(twins >= 0)
    pairs = {(min(a, b), max(a, b)) for a, b in zip(one.tolist(), twins[one].tolist(), strict=True)}
    return sorted(pairs, key=lambda pair: (-max(suspicion[list(pair)]), pair))

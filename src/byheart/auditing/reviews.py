"""Reviews: what people say of a few labels, read from tables and files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from byheart.auditing.isotonic import strata_of
from byheart.errors import InputError
from byheart.seeds import generator

Ids = NDArray[np.int64]
Verdicts = Mapping[int, str | bool] | pd.DataFrame | str | os.PathLike[str]

WRONG, RIGHT, UNSURE = "wrong", "right", "unsure"
FEWEST = 10
"""Labels with a verdict, below which nothing is estimated from reviews."""


@dataclass(frozen=True, eq=False)
class Reviews:
    """Verdicts of one reviewer or several.

    Attributes:
        ids: int64 [R] reviewed examples, ascending.
        verdicts: [R] "wrong", "right" or "unsure". Where reviewers disagree it is "unsure".
        corrections: [R] the right class, as the reviewers wrote it; "" if they gave none, or
            disagree.
        compared: number of examples with a verdict of two reviewers or more.
        disagreements: number of these on which verdicts differ.
    """

    ids: Ids
    verdicts: NDArray[np.object_]
    corrections: NDArray[np.object_]
    compared: int = 0
    disagreements: int = 0

    def values(self, examples: int, unsure: float) -> NDArray[np.float64]:
        """Return 1 for wrong, 0 for right, NaN without a review, and ``unsure`` for unsure [N]."""
        values = np.full(examples, np.nan)
        kinds = {WRONG: 1.0, RIGHT: 0.0, UNSURE: unsure}
        values[self.ids] = [kinds[verdict] for verdict in self.verdicts]
        return values

    def count(self, verdict: str) -> int:
        """Return the number of examples with a verdict."""
        return int((self.verdicts == verdict).sum())


def draw_sample(ranking: Ids, count: int, *, seed: int = 0, reviewed: Ids | None = None) -> Ids:
    """Draw ranks to review: as many from each stratum, at random, in an order to stop at any time.

    Args:
        ranking: ids, the most suspect first.
        count: number of examples to draw; all that are left, if there are fewer.
        seed: seed of the draw.
        reviewed: ids to leave out.

    Returns:
        [n] positions in the ranking. Each round of 20 has one example of each stratum.
    """
    rng, bounds = generator("reviews", seed), strata_of(len(ranking))
    left_out = np.isin(ranking, [] if reviewed is None else reviewed)
    queues = [
        rng.permutation(np.arange(start, stop)[~left_out[start:stop]])
        for start, stop in itertools.pairwise(bounds)
    ]
    drawn: list[int] = []
    for turn in range(max(map(len, queues), default=0)):
        turns = [int(queue[turn]) for queue in queues if turn < len(queue)]
        drawn += rng.permutation(turns).tolist()
        if len(drawn) >= count:
            break
    return np.array(drawn[:count], np.int64)


def draw_list(ranking: Ids, listed: Ids, *, seed: int = 0, reviewed: Ids | None = None) -> Ids:
    """Return the ids of a list in an order to review all of it, and to stop at any time.

    Strata follow each other, the most suspect first, and examples of a stratum are in random order.
    So the reviewed examples of each stratum are a random sample of it, or all of it.
    """
    rng, bounds = generator("list", seed), strata_of(len(ranking))
    left = np.isin(ranking, listed) & ~np.isin(ranking, [] if reviewed is None else reviewed)
    parts = [
        rng.permutation(np.arange(start, stop)[left[start:stop]])
        for start, stop in itertools.pairwise(bounds)
    ]
    ids: Ids = ranking[np.concatenate(parts)] if parts else ranking
    return ids


def read_reviews(
    reviews: Verdicts | Sequence[Verdicts],
    examples: int,
    *,
    fingerprint: str = "",
    fewest: int = FEWEST,
) -> Reviews:
    """Return the reviews of one person or several.

    Args:
        reviews: verdicts by id, a table, or a CSV file, or a list of these: one per reviewer.
            Verdicts are "wrong", "right" or "unsure"; True means wrong. A table has the columns
            ``id`` and ``verdict``, and may have ``label`` (the right class) and ``data``
            (the fingerprint of the data set). Rows without a verdict are not reviewed yet.
        examples: N; ids are 0 to N - 1.
        fingerprint: of the data set that was audited; "" if it is not known.
        fewest: number of verdicts, other than "unsure", that are needed.

    Raises:
        InputError: an id that does not exist, an id with two verdicts, a verdict that is none of
            the three, reviews of another data set, or too few verdicts.
    """
    if isinstance(reviews, Mapping | pd.DataFrame | str | os.PathLike):
        reviews = [reviews]
    tables = [_read(table, examples, fingerprint) for table in reviews]
    if not tables:
        raise InputError("reviews are empty: give one file or table of verdicts, or more")
    by_id = pd.concat(tables).groupby("id")
    agreed = by_id["verdict"].agg(lambda said: _only(set(said), UNSURE))
    decided = int((agreed != UNSURE).sum())
    if decided < fewest:
        raise InputError(
            f"reviews say 'wrong' or 'right' of {decided} labels: too few for an interval; review "
            f"{fewest} or more, better 20 to 100"
        )
    return Reviews(
        agreed.index.to_numpy(np.int64),
        agreed.to_numpy(object),
        by_id["label"].agg(lambda given: _only(set(given) - {""}, "")).to_numpy(object),
        compared=int((by_id.size() > 1).sum()),
        disagreements=int((by_id["verdict"].nunique() > 1).sum()),
    )


def _only(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else otherwise


def _read(source: Verdicts, examples: int, fingerprint: str) -> pd.DataFrame:
    """Return ``id``, ``verdict`` and ``label`` (the right class) of each reviewed example."""
    name = "reviews"
    if isinstance(source, str | os.PathLike):
        name = str(source)
        table = _table(Path(source))
    elif isinstance(source, pd.DataFrame):
        table = source.reset_index() if "id" not in source else source
    else:
        table = pd.DataFrame({"id": list(source), "verdict": list(source.values())})
    missing = {"id", "verdict"} - set(table)
    if missing:
        raise InputError(f"{name} has no column '{sorted(missing)[0]}': it needs id and verdict")
    rows = pd.DataFrame({"id": table["id"].tolist()}, dtype=object)
    rows["verdict"] = [_verdict(verdict, name) for verdict in table["verdict"].tolist()]
    for column in ("label", "data"):
        rows[column] = [_text(value) for value in table[column].tolist()] if column in table else ""
    rows = rows[rows["verdict"] != ""]
    others = rows.loc[(rows["data"] != "") & (rows["data"] != fingerprint), "data"]
    if fingerprint and len(others):
        raise InputError(
            f"{name} reviews another data set: its fingerprint is {others.iloc[0]}, that of this "
            f"audit {fingerprint}"
        )
    rows = rows.assign(id=[_id(value, examples, name) for value in rows["id"].tolist()])
    rows = rows[["id", "verdict", "label"]].drop_duplicates()
    twice = rows.loc[rows["id"].duplicated(), "id"]
    if len(twice):
        raise InputError(
            f"{name} has two different verdicts on example {twice.iloc[0]}: keep one row, or give "
            "the rows of each reviewer as a file of their own"
        )
    return rows


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"cannot read reviews from {path}: {error}") from None


def _verdict(value: object, name: str) -> str:
    if isinstance(value, bool | np.bool_):
        return WRONG if value else RIGHT
    verdict = _text(value).lower()
    if verdict not in (WRONG, RIGHT, UNSURE, ""):
        raise InputError(f"{name} has the verdict {value!r}: it must be wrong, right or unsure")
    return verdict


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def _id(value: object, examples: int, name: str) -> int:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not (number.is_integer() and 0 <= number < examples):
        raise InputError(
            f"{name} reviews example {value}: ids are whole numbers 0 to {examples - 1}"
        )
    return int(number)

"""From rows to rankings side by side: means, and paired differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.audit.cases import RANKINGS
from benchmarks.audit.rows import Row
from benchmarks.audit.scored import METRICS, Floats
from byheart.statistics.inference import bca_interval

OURS = "byheart"
HIGHER_IS_BETTER = {"auroc": True, "average_precision": True, "missed": False}

Kind = tuple[str, float, float, bool]
"""Source, momentum, rate, and whether look-alikes are confused."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def words(self, write: Callable[[float], str]) -> str:
        """Return both as text."""
        ends = "" if math.isnan(self.low) else f" [{write(self.low)}, {write(self.high)}]"
        return write(self.value) + ends


@dataclass(frozen=True)
class Line:
    """One ranking on one kind of noise.

    Attributes:
        ranking: its name.
        kind: of noise, and on which examples.
        seeds: how many data sets.
        means: each metric's mean over seeds, with its interval.
        ahead: by how much byheart is better than it, above 0 where it is; none for byheart.
    """

    ranking: str
    kind: Kind
    seeds: int
    means: Mapping[str, Interval]
    ahead: Mapping[str, Interval] | None


def lines(rows: Sequence[Row]) -> list[Line]:
    """Return every ranking on every kind of noise, on data sets that all parts have measured."""
    found = []
    for kind, values in by_kind(rows).items():
        ours = values[OURS]
        for ranking, own in values.items():
            name = f"{kind} {ranking}"
            means = {m: interval(own[m], f"{name} {m}") for m in METRICS}
            ahead = {m: interval(gain(m, ours[m], own[m]), f"{name} ahead {m}") for m in METRICS}
            seeds = len(own["auroc"])
            found.append(Line(ranking, kind, seeds, means, None if ranking == OURS else ahead))
    return found


def gain(metric: str, ours: Floats, theirs: Floats) -> Floats:
    """Return by how much ours is better, seed by seed."""
    return ours - theirs if HIGHER_IS_BETTER[metric] else theirs - ours


def beyond_cleanlab(rows: Sequence[Row]) -> dict[Kind, Interval]:
    """Return 1 - AUROC of byheart over that of cleanlab at its best, by kind of noise.

    Its best of both scores and all epochs, for each data set; the geometric mean over seeds.
    """
    found = {}
    for kind, values in by_kind(rows).items():
        best = np.max([own["auroc"] for name, own in values.items() if _in_hindsight(name)], axis=0)
        logs = interval(np.log((1 - values[OURS]["auroc"]) / (1 - best)), f"{kind} ratio")
        found[kind] = Interval(*(float(np.exp(x)) for x in (logs.value, logs.low, logs.high)))
    return found


def by_kind(rows: Sequence[Row]) -> dict[Kind, dict[str, dict[str, Floats]]]:
    """Return by kind of noise, ranking and metric the values [seeds].

    A data set that some part has not measured yet is left out: all differences are paired.
    """
    found: dict[Kind, dict[int, dict[str, Row]]] = {}
    for row in rows:
        if row["part"] in RANKINGS:
            kind = (row["source"], row["momentum"], row["rate"], row["pairs"])
            found.setdefault(kind, {}).setdefault(row["seed"], {})[row["part"]] = row["found"]
    values: dict[Kind, dict[str, dict[str, Floats]]] = {}
    for kind, seeds in found.items():
        whole = [_rankings(parts) for parts in seeds.values() if len(parts) == len(RANKINGS)]
        if whole:
            values[kind] = {
                ranking: {m: np.array([each[ranking][m] for each in whole]) for m in METRICS}
                for ranking in whole[0]
            }
    return values


def _rankings(parts: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Return the metrics of every ranking of one data set, the audit's first.

    cleanlab's scores are taken after the last epoch, and each metric at its own best epoch.
    """
    found: dict[str, dict[str, float]] = {}
    for part in RANKINGS:
        found |= parts[part].get("rankings", {})
        for score, curves in parts[part].get("cleanlab", {}).items():
            found[f"cleanlab {score}, best epoch"] = {
                metric: max(curve) if HIGHER_IS_BETTER[metric] else min(curve)
                for metric, curve in curves.items()
            }
            found[f"cleanlab {score}, last epoch"] = {
                metric: curve[-1] for metric, curve in curves.items()
            }
    return found


def _in_hindsight(ranking: str) -> bool:
    return ranking.endswith("best epoch")


def interval(values: NDArray[np.float64], name: str) -> Interval:
    """Return a mean and its 95% BCa interval; one value has none (NaN)."""
    if len(values) == 1:
        return Interval(float(values[0]), math.nan, math.nan)
    return Interval(float(values.mean()), *bca_interval(values, name=name))

"""From rows to results: rankings side by side, calibration, onset, and what was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.audit.cases import AUDITS, DATA_SETS, ONSET_RATES, ONSETS, RANKINGS, Row
from benchmarks.audit.metrics import HIGHER_IS_BETTER, METRICS, Floats
from byheart.statistics.estimate import Estimate
from byheart.statistics.inference import bca_interval

OURS = "byheart"
NAMES = {"mnist": "MNIST", "digits": "digits"}
TRAINED = {0.9: "with momentum", 0.0: "without momentum"}
STATED = ("precision", "recall", "mislabelled")
MOST_OF_CLEANLAB, COVERAGE, POINTS = 0.6, 0.85, 1.0
NOISIEST = 0.4

Kind = tuple[str, float, float, bool]
"""Source, momentum, rate, and whether look-alikes are confused."""


def in_words(estimate: Estimate, write: Callable[[float], str]) -> str:
    """Return an estimate as text, with its interval if it has one."""
    if math.isnan(estimate.low):
        return write(estimate.value)
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


def mean_of(values: NDArray[np.float64], name: str) -> Estimate:
    """Return a mean and its 95% BCa interval; a single value has none (NaN)."""
    if len(values) == 1:
        return Estimate(float(values[0]), math.nan, math.nan)
    return Estimate(float(values.mean()), *bca_interval(values, name=name))


@dataclass(frozen=True)
class Line:
    """One ranking on one kind of noise.

    Attributes:
        ranking: its name.
        kind: of noise, and on which examples.
        seeds: number of data sets.
        means: each metric's mean over data sets, with its interval.
        ahead: how much better byheart is, above 0 where it is; None for byheart itself.
    """

    ranking: str
    kind: Kind
    seeds: int
    means: Mapping[str, Estimate]
    ahead: Mapping[str, Estimate] | None


def lines(rows: Sequence[Row]) -> list[Line]:
    """Return every ranking on every kind of noise, on data sets that all parts have measured."""
    result = []
    for kind, values in by_kind(rows).items():
        for ranking, theirs in values.items():
            name = f"{kind} {ranking}"
            means = {m: mean_of(theirs[m], f"{name} {m}") for m in METRICS}
            ahead = {
                m: mean_of(_gain(m, values[OURS][m], theirs[m]), f"{name} ahead {m}")
                for m in METRICS
            }
            seeds = len(theirs["auroc"])
            result.append(Line(ranking, kind, seeds, means, None if ranking == OURS else ahead))
    return result


def _gain(metric: str, ours: Floats, theirs: Floats) -> Floats:
    """Return how much better ours is, seed by seed."""
    return ours - theirs if HIGHER_IS_BETTER[metric] else theirs - ours


def against_cleanlab(rows: Sequence[Row]) -> dict[Kind, Estimate]:
    """Return 1 - AUROC of byheart over that of cleanlab at its best, by kind of noise.

    Its best is over both scores and all epochs, for each data set. The mean over data sets is
    geometric.
    """
    ratios = {}
    for kind, values in by_kind(rows).items():
        hindsight = [v["auroc"] for name, v in values.items() if name.endswith("best epoch")]
        ratio = (1 - values[OURS]["auroc"]) / (1 - np.max(hindsight, axis=0))
        logs = mean_of(np.log(ratio), f"{kind} ratio")
        ratios[kind] = Estimate(*(float(np.exp(x)) for x in (logs.value, logs.low, logs.high)))
    return ratios


def by_kind(rows: Sequence[Row]) -> dict[Kind, dict[str, dict[str, Floats]]]:
    """Return values [seeds] by kind of noise, ranking and metric.

    All differences are paired, so a data set that some part has not measured is left out.
    """
    measured: dict[Kind, dict[int, dict[str, Row]]] = {}
    for row in rows:
        if row["part"] in RANKINGS:
            kind = (row["source"], row["momentum"], row["rate"], row["pairs"])
            measured.setdefault(kind, {}).setdefault(row["seed"], {})[row["part"]] = row["found"]
    values: dict[Kind, dict[str, dict[str, Floats]]] = {}
    for kind, seeds in measured.items():
        complete = [_rankings(parts) for parts in seeds.values() if len(parts) == len(RANKINGS)]
        if complete:
            values[kind] = {
                ranking: {m: np.array([seed[ranking][m] for seed in complete]) for m in METRICS}
                for ranking in complete[0]
            }
    return values


def _rankings(parts: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Return the metrics of every ranking of one data set, the audit's first.

    cleanlab's scores count after the last epoch, and at the best epoch of each metric.
    """
    result: dict[str, dict[str, float]] = {}
    for part in RANKINGS:
        result |= parts[part].get("rankings", {})
        for score, curves in parts[part].get("cleanlab", {}).items():
            result[f"cleanlab {score}, best epoch"] = {
                metric: max(curve) if HIGHER_IS_BETTER[metric] else min(curve)
                for metric, curve in curves.items()
            }
            result[f"cleanlab {score}, last epoch"] = {
                metric: curve[-1] for metric, curve in curves.items()
            }
    return result


@dataclass(frozen=True)
class Coverage:
    """How often a stated interval contained the true value.

    Attributes:
        hits: reviews whose interval contained it.
        audits: reviews: ten of each audit.
        share: hits / audits, with its 95% Wilson interval.
        true: mean of the true values.
        said: mean of the estimates.
    """

    hits: int
    audits: int
    share: Estimate
    true: float
    said: float


def coverage(rows: Sequence[Row], name: str) -> Coverage | None:
    """Return how often the stated interval of ``name`` contained the true value.

    Args:
        rows: of the part "calibration".
        name: one of :data:`STATED`.

    Returns:
        None if there are no rows.
    """
    stated = [draw[name] for row in rows for draw in row["found"]["draws"]]
    if not stated:
        return None
    hits = sum(s["low"] <= s["true"] <= s["high"] for s in stated)
    ends = stats.binomtest(hits, len(stated)).proportion_ci(method="wilson")
    return Coverage(
        hits,
        len(stated),
        Estimate(hits / len(stated), float(ends.low), float(ends.high)),
        float(np.mean([s["true"] for s in stated])),
        float(np.mean([s["said"] for s in stated])),
    )


@dataclass(frozen=True)
class Stopped:
    """What stopping at the onset cost, in points of accuracy by true labels.

    Attributes:
        source: of the examples.
        rate: share of labels that were drawn again.
        seeds: number of data sets.
        lost: against the best epoch in hindsight, on the examples that chose it.
        unbiased: the same, with the best epoch chosen on the other half of the examples.
        gained: against training to the end.
        inside: data sets in which the onset's interval contains the best epoch.
    """

    source: str
    rate: float
    seeds: int
    lost: Estimate
    unbiased: Estimate
    gained: Estimate
    inside: int


def stopped(rows: Sequence[Row]) -> list[Stopped]:
    """Return what stopping cost by source and rate, from rows of the part "onset"."""
    result = []
    for source, rate in dict.fromkeys((row["source"], row["rate"]) for row in rows):
        group = [row["found"] for row in rows if (row["source"], row["rate"]) == (source, rate)]
        values = np.array([_points(row) for row in group])
        lost, unbiased, gained = (
            mean_of(100 * values[:, k], f"onset {source} {rate} {k}") for k in range(3)
        )
        inside = int(values[:, 3].sum())
        result.append(Stopped(source, rate, len(group), lost, unbiased, gained, inside))
    return result


def _points(row: Row) -> tuple[float, float, float, bool]:
    """Return lost, unbiased and gained, and whether the interval contains the best epoch."""
    first, second = np.array(row["first half"]), np.array(row["second half"])
    both, onset = (first + second) / 2, row["epoch"] - 1
    unbiased = (second[first.argmax()] - second[onset] + first[second.argmax()] - first[onset]) / 2
    inside = row["low"] <= both.argmax() + 1 <= row["high"]
    return both.max() - both[onset], unbiased, both[onset] - both[-1], inside


@dataclass(frozen=True)
class Answer:
    """One goal of the audit, and whether it is reached.

    Attributes:
        goal: in words.
        result: the figures.
        reached: None until all data sets are measured.
    """

    goal: str
    result: str
    reached: bool | None


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Return the goals and what was measured, from the rows."""
    return [*_ranking(rows), *_noisiest(rows), *_precision(rows), *_onset(rows)]


def _ranking(rows: Sequence[Row]) -> Iterator[Answer]:
    ranked = lines(rows)
    for source, momentum, name in _trained(ranked):
        group = [line for line in ranked if line.kind[:2] == (source, momentum)]
        gains = [line.ahead["auroc"] for line in group if line.ahead is not None]
        better, worse = sum(g.low > 0 for g in gains), sum(g.high < 0 for g in gains)
        yield Answer(
            f"{name}: no peer has a higher AUROC",
            f"of {len(gains)} comparisons byheart is better in {better} and worse in {worse}",
            worse == 0 if all(line.seeds == DATA_SETS for line in group) else None,
        )


def _noisiest(rows: Sequence[Row]) -> Iterator[Answer]:
    ranked, ratios = lines(rows), against_cleanlab(rows)
    seeds = {line.kind: line.seeds for line in ranked}
    for source, momentum, name in _trained(ranked):
        kind = (source, momentum, NOISIEST, False)
        if kind in ratios:
            yield Answer(
                f"{name}, {NOISIEST:.0%} random labels: 1 - AUROC is at most "
                f"{MOST_OF_CLEANLAB:g} of cleanlab's best",
                in_words(ratios[kind], "{:.2f}".format),
                ratios[kind].value <= MOST_OF_CLEANLAB if seeds[kind] == DATA_SETS else None,
            )


def _trained(ranked: Sequence[Line]) -> Iterator[tuple[str, float, str]]:
    """Yield the sources and momenta that were measured, and their names."""
    for source, momentum in dict.fromkeys(line.kind[:2] for line in ranked):
        yield source, momentum, f"{NAMES[source]} {TRAINED[momentum]}"


def _precision(rows: Sequence[Row]) -> Iterator[Answer]:
    for source, name in NAMES.items():
        goal = f"{name}: the 90% interval of precision contains the truth in {COVERAGE:.0%} or more"
        audits = [row for row in rows if (row["part"], row["source"]) == ("calibration", source)]
        covered = coverage(audits, "precision")
        if covered is None:
            yield Answer(goal, "not measured yet", None)
            continue
        share = in_words(covered.share, "{:.0%}".format)
        complete = len(audits) == AUDITS[source]
        yield Answer(
            goal,
            f"{covered.hits} of {covered.audits} reviews: {share}",
            covered.share.value >= COVERAGE if complete else None,
        )


def _onset(rows: Sequence[Row]) -> Iterator[Answer]:
    results = stopped([row for row in rows if row["part"] == "onset"])
    for source, name in NAMES.items():
        group = [result for result in results if result.source == source]
        rates = [result.rate for result in group if result.seeds == ONSETS]
        words = [f"{r.rate:.0%} noise: {in_words(r.lost, '{:.2f}'.format)}" for r in group]
        reached = all(result.lost.value <= POINTS for result in group)
        yield Answer(
            f"{name}: stopping at the onset loses at most {POINTS:g} point of true accuracy",
            "; ".join(words) or "not measured yet",
            reached if rates == list(ONSET_RATES) else None,
        )

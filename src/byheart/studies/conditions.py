"""The corruptions that studies compare, and the trials and values they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from byheart.charts.figure import Point
from byheart.record import Record
from byheart.statistics.verdict import Evidence
from byheart.studies.base import Records, Setting
from byheart.studies.presets import find_preset
from byheart.studies.settings import Preset
from byheart.trial import Algorithm, DataFacts, Probe, Trial

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """What is replaced by noise, and how much of it."""

    name: str
    inputs: float = 0.0
    labels: float = 0.0


MOST_CENSORED = 0.5
"""Above this share of censored trials in any arm a claim on time cannot be decided."""

REAL = Condition("real")
RANDX = Condition("randX", inputs=1.0)
RANDY = Condition("randY", labels=1.0)
KINDS = (REAL, RANDX, RANDY)


def input_noise(levels: Iterable[float]) -> tuple[Condition, ...]:
    """Return one condition per level of input noise."""
    return tuple(Condition(f"{level:g}", inputs=level) for level in levels)


def label_noise(levels: Iterable[float]) -> tuple[Condition, ...]:
    """Return one condition per level of label noise."""
    return tuple(Condition(f"{level:g}", labels=level) for level in levels)


@lru_cache(maxsize=2048)
def trials_per_seed(
    setting: Setting,
    condition: Condition,
    algorithm: Algorithm,
    *,
    train: int,
    validation: int = 0,
    probes: tuple[Probe, ...] = (),
) -> tuple[Trial, ...]:
    """Return one trial per seed; equal seeds share subset, initialisation and order (paired).

    Cached: plan, judge and figures ask for the same trials, whose keys take time.
    """
    return tuple(
        Trial(
            data=DataFacts(
                fingerprint=setting.data.fingerprint,
                train=train,
                validation=validation,
                inputs=condition.inputs,
                labels=condition.labels,
                seed=seed,
                test=setting.data.validation_source(train, validation),
            ),
            algorithm=algorithm,
            seed=seed,
            probes=probes,
        )
        for seed in range(setting.seeds)
    )


def read(
    records: Records,
    trials: Sequence[Trial],
    value: Callable[[Record], float | Values],
    shape: tuple[int, ...] = (),
) -> Values:
    """Return ``value`` [shape] of each trial's record, stacked; NaN if it diverged or failed."""
    lasted = (records.lasted(trial) for trial in trials)
    gap = np.full(shape, np.nan)
    return np.stack([gap if r is None else np.asarray(value(r), dtype=float) for r in lasted])


def read_arms(
    records: Records, arms: Iterable[Sequence[Trial]], value: Callable[[Record], float | Values]
) -> Values:
    """Return ``value`` of each seed and arm, [S, arms]; NaN if a trial diverged or failed."""
    return np.stack([read(records, arm, value) for arm in arms], axis=1)


@dataclass(frozen=True)
class Tally:
    """How many trials ended without a usable value, and how."""

    censored: int
    diverged: int
    failed: int

    def evidence(
        self,
        values: Mapping[str, Values],
        *,
        note: str = "",
        undecidable: str = "",
        narrow: str = "",
    ) -> Evidence:
        """Return values per seed together with these counts."""
        return Evidence(
            values, self.censored, self.diverged, self.failed, note, undecidable, narrow
        )


def tally(records: Records, trials: Iterable[Trial]) -> Tally:
    """Count how trials ended. Censored: asked to train to 100% or a loss, and never got there."""
    unique = {trial.key: trial for trial in trials}.values()
    ended = [(trial, records.of(trial)) for trial in unique]
    return Tally(
        censored=sum(
            record is not None and record.outcome == "budget" and trial.algorithm.stop != "budget"
            for trial, record in ended
        ),
        diverged=sum(record is not None and record.outcome == "diverged" for _, record in ended),
        failed=sum(record is None for _, record in ended),
    )


def narrow_range(setting: Setting, of: Callable[[Preset], Sequence[int]], what: str) -> str:
    """Return how a range falls short of the paper's, or "" if it ends where the paper's does.

    Args:
        setting: the setting.
        of: the range of a preset, ascending.
        what: what the numbers count ("examples").
    """
    tried, paper = of(setting.preset), of(find_preset("paper", setting.preset.network))
    if tried[-1] >= paper[-1]:
        return ""
    return f"tried {tried[0]:,} to {tried[-1]:,} {what}, the paper up to {paper[-1]:,}"


def mostly_censored(records: Records, arms: Sequence[Sequence[Trial]], goal: str) -> str:
    """Return why time to ``goal`` cannot be judged: most trials of an arm never got there."""
    mostly = sum(tally(records, arm).censored > MOST_CENSORED * len(arm) for arm in arms)
    if not mostly:
        return ""
    return f"in {mostly} of {len(arms)} arms most trials never reached {goal} within the budget"


def slope(x: Sequence[float] | Values, y: Values) -> Values:
    """Return the least-squares slope of each row of y [S, L] on x [L]; NaN rows stay NaN."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return np.asarray((y * centred).sum(axis=1) / (centred**2).sum())


def proportion_points(
    panel: str, series: str, x: Sequence[float] | Values, hits: Values
) -> list[Point]:
    """Return the share of seeds and its 95% Wilson interval at each x, for 0 or 1 in hits [S, X].

    A t interval would have no width where all seeds agree.
    """
    points = []
    for at, column in zip(x, hits.T, strict=True):
        values = column[np.isfinite(column)]
        if len(values):
            test = stats.binomtest(round(float(values.sum())), len(values))
            low, high = test.proportion_ci(method="wilson")
            points.append(
                Point(panel, series, float(at), float(values.mean()), float(low), float(high))
            )
    return points


def extremes(weights: Values, lower: Values, upper: Values) -> tuple[Values, Values]:
    """Return the smallest and the largest weighted sum that bounds [S, X] allow, each [S].

    Weights are [X] or [S, X]. A sum with an unknown bound is NaN.
    """
    weights = np.broadcast_to(weights, lower.shape)
    smallest = np.where(weights > 0, lower, upper)
    largest = np.where(weights > 0, upper, lower)
    used = weights != 0
    low, high = (
        np.where(used, weights * np.where(used, ends, 0.0), 0.0).sum(axis=1)
        for ends in (smallest, largest)
    )
    return low, high


def mean_points(
    panel: str,
    series: str,
    x: Sequence[float] | Values,
    y: Values,
    *,
    log: bool = False,
    upper: Values | None = None,
) -> list[Point]:
    """Return the mean over seeds and its 95% t interval at each x, for y [S, X].

    Args:
        panel: panel of the figure.
        series: series of the figure.
        x: [X] positions.
        y: one row per seed; NaN values are left out.
        log: average logarithms (for times and ratios).
        upper: [S, X] upper bounds, if y are lower ones; NaN where there is none.
    """
    points = []
    above = np.full_like(y, np.nan) if upper is None else upper - y
    for at, column, width in zip(x, (np.log(y) if log else y).T, above.T, strict=True):
        values = column[np.isfinite(column)]
        if not len(values):
            continue
        estimates = [values.mean()]
        if len(values) > 2:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            estimates += [estimates[0] - half, estimates[0] + half]
        centre, *interval = map(float, np.exp(estimates) if log else estimates)
        known = width[np.isfinite(width)]
        bound = centre + float(known.mean()) if len(known) else None
        low, high = interval or (None, None)
        points.append(Point(panel, series, float(at), centre, low, high, bound))
    return points

"""K17 (3): is the loss sharper at convergence the more noise? Three readings of "convergence"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from byheart.charts.figure import Axis, Figure, Point
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import (
    Condition,
    Values,
    input_noise,
    label_noise,
    mean_points,
    mostly_censored,
    read_arms,
    slope,
    tally,
    trials_per_seed,
)
from byheart.trial import SharpnessProbe, Trial

SLOPE_X = "slope of log2 of the largest Hessian eigenvalue on input noise level"
SLOPE_Y = "slope of log2 of the largest Hessian eigenvalue on label noise level"
HALF_OCTAVE = 0.5
RULE = Rule(tuple(Criterion(name, "above", HALF_OCTAVE) for name in (SLOPE_X, SLOPE_Y)))
ESTIMATORS = {
    "exact": "eigenvalue",
    "on line (K17)": "online",
    "scale-invariant": "scale_invariant",
}
PANELS = {"noise in the inputs": input_noise, "noise in the labels": label_noise}


@dataclass(frozen=True)
class Reading:
    """One meaning of "at convergence".

    Attributes:
        claim: the claim that takes it so.
        name: in charts.
        stop: the rule by which training ends.
        words: in the statement of the claim.
    """

    claim: str
    name: str
    stop: Literal["converged", "budget", "loss"]
    words: str


READINGS = (
    # The workshop measures "time to convergence" as epochs until 100% training accuracy, two
    # claims earlier: the one definition of the word that it gives.
    Reading(
        "sharpness-noise",
        "first 100% accuracy",
        "converged",
        "at convergence (the first epoch with 100% training accuracy)",
    ),
    Reading(
        "sharpness-noise-epochs",
        "fixed epochs",
        "budget",
        "after a fixed number of epochs",
    ),
    Reading("sharpness-noise-loss", "matched loss", "loss", "at the same training loss"),
)


class Sharpness:
    """The largest Hessian eigenvalue where training ended, against the level of noise."""

    name = "sharpness"
    title = "Sharpness"
    source = "K17 (3)"
    claims = tuple(
        Claim(reading.claim, "K17 (3)", f"the loss is sharper {reading.words} the more noise", RULE)
        for reading in READINGS
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: readings x levels of either noise; clean data are shared."""
        return [
            trial
            for reading in READINGS
            for condition in _conditions(setting)
            for trial in _trials(setting, reading, condition)
        ]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return for each reading the slopes per seed; the other estimators go into the note."""
        return {reading.claim: _evidence(records, setting, reading) for reading in READINGS}

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return sharpness and loss by noise level, and for each reading the three estimators."""
        return [
            _by_reading(
                records,
                setting,
                "eigenvalue",
                id="sharpness-readings",
                title='Sharpness "at convergence", read in three ways',
                reading=(
                    "The same measure on the same algorithm. A line that climbs says: sharper the "
                    "more noise. Where the lines disagree, the claim depends on when one looks."
                ),
                y=Axis("largest Hessian eigenvalue", log=True),
            ),
            _by_reading(
                records,
                setting,
                "train_loss",
                id="sharpness-loss",
                title="Training loss where the sharpness was measured",
                reading=(
                    "Curvature of the cross-entropy falls with the loss itself: a reading whose "
                    "line climbs here compares networks that fit their data less and less well."
                ),
                y=Axis("training loss", log=True),
            ),
            *(_by_estimator(records, setting, reading) for reading in READINGS),
        ]


def _conditions(setting: Setting) -> list[Condition]:
    levels = setting.preset.sharpness.levels
    return list(dict.fromkeys((*input_noise(levels), *label_noise(levels))))


def _trials(setting: Setting, reading: Reading, condition: Condition) -> tuple[Trial, ...]:
    numbers = setting.preset.sharpness
    algorithm = numbers.algorithm(
        setting.network(numbers.hidden),
        numbers.epochs if reading.stop == "budget" else numbers.limit,
        stop=reading.stop,
        stop_loss=numbers.loss if reading.stop == "loss" else None,
    )
    probe = SharpnessProbe(
        tolerance=numbers.tolerance,
        max_iterations=numbers.max_iterations,
        online_iterations=numbers.online_iterations,
        online_batch_size=numbers.batch_size,
    )
    return trials_per_seed(setting, condition, algorithm, train=numbers.train, probes=(probe,))


def _values(records: Records, setting: Setting, reading: Reading, noise: str, array: str) -> Values:
    """Return what was measured, [S, levels]; NaN where a trial did not get to the reading."""

    def value(record: Record) -> float:
        censored = record.outcome == "budget" and reading.stop != "budget"
        return np.nan if censored else float(record.arrays[f"sharpness.{array}"])

    conditions = PANELS[noise](setting.preset.sharpness.levels)
    return read_arms(records, [_trials(setting, reading, c) for c in conditions], value)


def _octaves(values: Values) -> Values:
    """Return log2 of magnitudes; NaN for a zero, as of a saturated network."""
    sizes = np.abs(values)
    return np.log2(np.where(sizes > 0, sizes, np.nan))


def _slopes(records: Records, setting: Setting, reading: Reading, array: str) -> list[Values]:
    levels = setting.preset.sharpness.levels
    return [
        slope(levels, _octaves(_values(records, setting, reading, noise, array)))
        for noise in PANELS
    ]


def _evidence(records: Records, setting: Setting, reading: Reading) -> Evidence:
    on_x, on_y = _slopes(records, setting, reading, "eigenvalue")
    arms = [_trials(setting, reading, condition) for condition in _conditions(setting)]
    goal = {
        "converged": "100% accuracy",
        "loss": f"a training loss of {setting.preset.sharpness.loss:g}",
        "budget": "",
    }[reading.stop]
    return tally(records, [trial for arm in arms for trial in arm]).evidence(
        {SLOPE_X: on_x, SLOPE_Y: on_y},
        note=_note(records, setting, reading),
        undecidable=mostly_censored(records, arms, goal),
    )


def _note(records: Records, setting: Setting, reading: Reading) -> str:
    """Return what the other two estimators say, and how many eigenvalues were not found."""
    parts = []
    for name, array in list(ESTIMATORS.items())[1:]:
        on_x, on_y = (_interval(v) for v in _slopes(records, setting, reading, array))
        parts.append(f"{name} estimate: slope {on_x} on inputs, {on_y} on labels")
    text = "; ".join(parts) + " (mean and 95% t interval; they decide nothing)"
    kept = [
        records.of(trial)
        for condition in _conditions(setting)
        for trial in _trials(setting, reading, condition)
    ]
    lost = sum(
        bool(np.isnan(record.arrays["sharpness.eigenvalue"]))
        for record in kept
        if record is not None and "sharpness.eigenvalue" in record.arrays
    )
    if lost:
        text += f"; {lost} eigenvalues were not found within the limit, their seeds left out"
    return text


def _interval(values: Values) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) < 3:
        return "unknown"
    half = float(stats.t.ppf(0.975, len(finite) - 1) * stats.sem(finite))
    centre = float(finite.mean())
    return f"{centre:+.2f} [{centre - half:+.2f}, {centre + half:+.2f}]"


def _by_reading(
    records: Records,
    setting: Setting,
    array: str,
    *,
    id: str,
    title: str,
    reading: str,
    y: Axis,
) -> Figure:
    points: list[Point] = []
    for noise in PANELS:
        for measured_at in READINGS:
            values = np.exp2(_octaves(_values(records, setting, measured_at, noise, array)))
            levels = setting.preset.sharpness.levels
            points += mean_points(noise, measured_at.name, levels, values, log=True)
    return Figure(
        id=id,
        title=title,
        source="K17 (3)",
        reading=reading,
        x=Axis("fraction replaced by noise", percent=True),
        y=y,
        series=tuple(measured_at.name for measured_at in READINGS),
        points=tuple(points),
        legend="measured at",
    )


def _by_estimator(records: Records, setting: Setting, reading: Reading) -> Figure:
    points: list[Point] = []
    for noise in PANELS:
        for name, array in ESTIMATORS.items():
            octaves = _octaves(_values(records, setting, reading, noise, array))
            over_clean = np.exp2(octaves - octaves[:, :1])
            levels = setting.preset.sharpness.levels
            points += mean_points(noise, name, levels, over_clean, log=True)
    return Figure(
        id=f"sharpness-estimators-{reading.stop}",
        title=f"Three estimators of sharpness: {reading.name}",
        source="K17 (3)",
        reading=(
            "Each estimate over its own on clean data with the same seed. The on-line estimate is "
            "the workshop's; the scale-invariant one cannot be changed by rescaling units."
        ),
        x=Axis("fraction replaced by noise", percent=True),
        y=Axis("sharpness over that on clean data", log=True),
        series=tuple(ESTIMATORS),
        points=tuple(points),
        legend="estimator",
    )

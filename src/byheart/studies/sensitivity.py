"""What the studies of loss-sensitivity have in common: trials, values, what was lost, a chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from byheart.charts.figure import Axis, Figure, Point
from byheart.record import Record
from byheart.statistics.verdict import Evidence
from byheart.studies.base import Records, Setting
from byheart.studies.conditions import (
    Condition,
    Values,
    mean_points,
    read,
    tally,
    trials_per_seed,
)
from byheart.trial import Algorithm, SensitivityProbe, Trial

GINI_SMALLEST = 0.05
MOST_LOST = 0.5
"""Above this share of trials of any kind without a derivative, nothing can be decided."""
NORMS = 3


def gini_name(kind: Condition) -> str:
    """Return the statistic of a contrast with real data."""
    return f"Gini of loss-sensitivity at the end of training, real minus {kind.name}"


def times(updates: int, count: int) -> tuple[int, ...]:
    """Return ``count`` update counts, evenly spaced, the last of them ``updates``."""
    return tuple(sorted({updates * (i + 1) // count for i in range(count)}))


def trials(
    setting: Setting,
    kind: Condition,
    *,
    learning_rate: float,
    updates: int,
    evaluations: int,
    per_class: int = 0,
    unique_labels: bool = False,
) -> tuple[Trial, ...]:
    """Return one trial per seed, trained by plain SGD for about so many updates.

    Args:
        setting: preset, data and seeds.
        kind: what is replaced by noise.
        learning_rate: of SGD.
        updates: at the last of which loss-sensitivity is measured.
        evaluations: how often it is measured, evenly spaced.
        per_class: how often by class as well.
        unique_labels: every example is its own class.
    """
    numbers = setting.preset.sensitivity
    evaluate_at = times(updates, evaluations)
    every = max(1, evaluations // max(1, per_class))
    probe = SensitivityProbe(
        evaluate_at=evaluate_at,
        per_class_at=evaluate_at[every - 1 :: every][-per_class:] if per_class else (),
    )
    algorithm = Algorithm(
        network=setting.network(numbers.hidden),
        learning_rate=learning_rate,
        batch_size=numbers.batch_size,
        epochs=-(-updates // -(-numbers.train // numbers.batch_size)),
    )
    changes = {"downsample": _shrink(setting), "unique_labels": unique_labels}
    plain = trials_per_seed(setting, kind, algorithm, train=numbers.train, probes=(probe,))
    return tuple(t.model_copy(update={"data": t.data.model_copy(update=changes)}) for t in plain)


def read_kept(
    records: Records,
    arm: Sequence[Trial],
    value: Callable[[Record], Values],
    shape: tuple[int, ...],
) -> Values:
    """Return ``value`` [shape] of each seed; NaN if the derivative overflowed before the end."""

    def of(record: Record) -> Values:
        return value(record) if _kept(record) else np.full(shape, np.nan)

    return read(records, arm, of, shape)


def final_gini(records: Records, arm: Sequence[Trial]) -> Values:
    """Return the Gini coefficient of g_bar_x at the end of training in each norm, [S, 3]."""
    return read_kept(records, arm, lambda r: r.arrays["sensitivity.gini"][-1], (NORMS,))


def grown(records: Records, arms: Mapping[Condition, Sequence[Trial]]) -> str:
    """Return how far the Gini coefficient went in training, by kind, for the note."""
    words = []
    for kind, arm in arms.items():
        curves = _curves(records, arm)
        curves = curves[np.isfinite(curves).all(1)]
        if len(curves):
            start, end = curves[:, 0].mean(), curves[:, -1].mean()
            words.append(f"{start:.2f} to {end:.2f} on {kind.name}")
    return f"Gini in training, from the first evaluation on: {', '.join(words)}" if words else ""


def evidence(
    values: Mapping[str, Values],
    records: Records,
    arms: Sequence[Sequence[Trial]],
    *,
    note: str = "",
) -> Evidence:
    """Return values per seed, with counts of the trials that were lost on the way."""
    kept = [[record for record in map(records.of, arm) if record is not None] for arm in arms]
    overflowed = sum(_overflowed(record) for of_arm in kept for record in of_arm)
    lost = [sum(not _kept(record) for record in of_arm) for of_arm in kept]
    if overflowed:
        count = sum(map(len, kept))
        text = (
            f"in {overflowed} of {count} trials the derivative through training grew beyond the "
            "floating-point range while the loss stayed finite: they are left out"
        )
        note = f"{note}; {text}" if note else text
    mostly = sum(n > MOST_LOST * len(arm) for n, arm in zip(lost, arms, strict=True))
    return tally(records, [trial for arm in arms for trial in arm]).evidence(
        values,
        note=note,
        undecidable=(
            f"in {mostly} of {len(arms)} arms most trials diverged or lost their derivative"
            if mostly
            else ""
        ),
    )


def gini_figure(
    records: Records,
    arms: Mapping[Condition, Sequence[Trial]],
    evaluate_at: Sequence[int],
    *,
    id: str,
    title: str,
    source: str,
) -> Figure:
    """Return the Gini coefficient of g_bar_x over updates, by kind, with intervals over seeds."""
    points: list[Point] = []
    for kind, arm in arms.items():
        points += mean_points("", kind.name, evaluate_at, _curves(records, arm))
    return Figure(
        id=id,
        title=title,
        source=source,
        reading=(
            "The higher a line, the fewer examples the training loss hangs on; the coefficient is "
            "that of each example's sensitivity averaged from the start to this update, and the "
            "band its 95% interval over seeds."
        ),
        x=Axis("updates"),
        y=Axis("Gini coefficient of loss-sensitivity"),
        series=tuple(kind.name for kind in arms),
        points=tuple(points),
        legend="training data",
        marks=False,
    )


def _curves(records: Records, arm: Sequence[Trial]) -> Values:
    """Return the Gini coefficient in norm 1 at every evaluation, [S, E]."""
    probe = arm[0].probes[0]
    assert isinstance(probe, SensitivityProbe)
    shape = (len(probe.evaluate_at),)
    return read(records, arm, lambda r: r.arrays["sensitivity.gini"][:, 0], shape)


def _shrink(setting: Setting) -> int:
    """Return the side of the squares of pixels to average; a user's network sees every pixel."""
    shape = setting.data.shape
    if setting.model is not None or len(shape) < 2:
        return 1
    return max(1, min(shape[-2:]) // setting.preset.sensitivity.pixels)


def _overflowed(record: Record) -> bool:
    return record.outcome != "diverged" and int(record.arrays["sensitivity.overflow_at"]) >= 0


def _kept(record: Record) -> bool:
    return record.outcome != "diverged" and not _overflowed(record)

"""A17 Figure 6 and K17 (2): how long until every training example is fitted?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from byheart.charts.figure import Axis, Figure, Point
from byheart.measures.convergence import kaplan_meier, restricted
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import CHOSEN_WIDTH, NOTHING_KNOWN, ON_MNIST, Claim, Records, Setting
from byheart.studies.conditions import (
    KINDS,
    RANDX,
    RANDY,
    REAL,
    Condition,
    Values,
    input_noise,
    mean_points,
    mostly_censored,
    narrow_range,
    read_arms,
    slope,
    tally,
    trials_per_seed,
)
from byheart.trial import Trial

ORDER_SMALLEST = round(float(np.log2(1.1)), 3)
TIME = Axis("epochs to 100% training accuracy", log=True)
READING_TIME = (
    "Each line is the geometric mean over seeds, with its 95% interval; a trial that never "
    "reached 100% counts as its budget, so a line with such trials lies too low, never too high."
)

ORDER_RANDY = "log2 of time to convergence, randY over real"
ORDER_REAL = "log2 of time to convergence, real over randX"
WIDTH_REAL = "slope of log time on log width, real"
WIDTH_NOISE = "slope of log time on log width, randX"
WIDTH_STEEPER = "slope of log time on log width, randX minus real"
WIDTH_LONGER = "slope of log time on log width over the wider half, randX minus real"
SIZE_REAL = "slope of log time on log n, real"
SIZE_NOISE = "slope of log time on log n, randX"
SIZE_STEEPER = "slope of log time on log n, randX minus real"


class Figure6:
    """Time to convergence by kind of data, by width and by number of examples."""

    name = "figure-6"
    title = "Time to convergence"
    source = "A17 Fig 6, K17 (2)"
    claims = (
        Claim(
            "time-order",
            "K17 (2)",
            "time to convergence: random labels > real data > random inputs",
            Rule(
                (
                    Criterion(ORDER_RANDY, "above", ORDER_SMALLEST),
                    Criterion(ORDER_REAL, "above", ORDER_SMALLEST),
                )
            ),
        ),
        Claim(
            "time-capacity",
            "A17 Fig 6 left",
            "time to convergence falls with width; more steeply, and for longer, with noise",
            Rule(
                (
                    Criterion(WIDTH_REAL, "below", 0.05),
                    Criterion(WIDTH_NOISE, "below", 0.05),
                    Criterion(WIDTH_STEEPER, "below", 0.05),
                    Criterion(WIDTH_LONGER, "below", 0.05),
                )
            ),
            needs=CHOSEN_WIDTH,
            drawn_on=ON_MNIST,
        ),
        Claim(
            "time-size",
            "A17 Fig 6 right",
            "time to convergence grows with the number of examples; more steeply with noise",
            Rule(
                (
                    Criterion(SIZE_REAL, "above", 0.05),
                    Criterion(SIZE_NOISE, "above", 0.05),
                    Criterion(SIZE_STEEPER, "above", 0.05),
                )
            ),
            drawn_on=ON_MNIST,
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds, widths x levels and sizes x levels, each to convergence."""
        widths = _by_width(setting) if setting.model is None else []
        arms = [*_by_kind(setting).values(), *widths, *_by_size(setting)]
        return [trial for arm in arms for trial in arm]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired log ratios and slopes per seed."""
        kinds = _by_kind(setting)
        log2 = dict(zip(kinds, np.log2(_times(records, kinds.values())).T, strict=True))
        return {
            "time-order": _evidence(
                {
                    ORDER_RANDY: log2[RANDY] - log2[REAL],
                    ORDER_REAL: log2[REAL] - log2[RANDX],
                },
                records,
                list(kinds.values()),
            ),
            "time-capacity": self._capacity(records, setting),
            "time-size": self._size(records, setting),
        }

    def _capacity(self, records: Records, setting: Setting) -> Evidence:
        widths = setting.preset.time.widths
        real, noise = (
            np.log(_times(records, _width_arms(setting, kind))) for kind in (REAL, RANDX)
        )
        wider = len(widths) // 2 if len(widths) > 3 else 0
        x = np.log(widths)
        values = {
            WIDTH_REAL: slope(x, real),
            WIDTH_NOISE: slope(x, noise),
            WIDTH_STEEPER: slope(x, noise) - slope(x, real),
            WIDTH_LONGER: slope(x[wider:], noise[:, wider:]) - slope(x[wider:], real[:, wider:]),
        }
        narrow = narrow_range(setting, lambda preset: preset.time.widths, setting.width_axis)
        return _evidence(values, records, _by_width(setting), narrow)

    def _size(self, records: Records, setting: Setting) -> Evidence:
        x = np.log(setting.preset.time.sizes)
        real, noise = (np.log(_times(records, _size_arms(setting, kind))) for kind in (REAL, RANDX))
        values = {
            SIZE_REAL: slope(x, real),
            SIZE_NOISE: slope(x, noise),
            SIZE_STEEPER: slope(x, noise) - slope(x, real),
        }
        narrow = narrow_range(setting, lambda preset: preset.time.sizes, "examples")
        return _evidence(values, records, _by_size(setting), narrow)

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return time by kind, by width and by number of examples."""
        numbers = setting.preset.time
        units = "" if setting.model else f", {setting.width_in_words(numbers.width)}"
        width = Figure(
            id="figure-6-width",
            title=f"Time to convergence by width, {numbers.width_train} examples",
            source="A17 Fig 6 left",
            reading=READING_TIME,
            x=Axis(setting.width_axis, log=True),
            y=TIME,
            series=tuple(level.name for level in input_noise(numbers.levels)),
            points=_points_by_level(records, setting, numbers.widths, _width_arms),
            legend="fraction of inputs replaced by noise",
            ordered=True,
        )
        size = replace(
            width,
            id="figure-6-size",
            title=f"Time to convergence by number of examples{units}",
            source="A17 Fig 6 right",
            x=Axis("training examples", log=True),
            points=_points_by_level(records, setting, numbers.sizes, _size_arms),
        )
        widths = [width] if setting.model is None else []
        return [_order_figure(records, setting), *widths, size]


def _points_by_level(
    records: Records,
    setting: Setting,
    x: Sequence[float],
    arms: Callable[[Setting, Condition], Sequence[Sequence[Trial]]],
) -> tuple[Point, ...]:
    return tuple(
        point
        for level in input_noise(setting.preset.time.levels)
        for point in mean_points("", level.name, x, _times(records, arms(setting, level)), log=True)
    )


def _order_figure(records: Records, setting: Setting) -> Figure:
    numbers = setting.preset.time
    points: list[Point] = []
    for kind, arm in _by_kind(setting).items():
        ended = [record for record in map(records.lasted, arm) if record is not None]
        if not ended:
            continue
        survival = kaplan_meier(
            [r.epochs for r in ended], [r.outcome == "converged" for r in ended]
        )
        done = np.concatenate([[0.0], 1.0 - survival.surviving])
        points += [
            Point("", kind.name, float(epoch), float(level))
            for step, epoch in enumerate(survival.time)
            for level in done[step : step + 2]
        ]
        if done[-1] < 1:
            points += [Point("", kind.name, float(numbers.epochs), float(done[-1]))]
    return Figure(
        id="time-order",
        title=f"Trials at 100% training accuracy by epoch, {numbers.train} examples",
        source="K17 (2)",
        reading=(
            "Each line climbs as seeds come to fit their whole training set (Kaplan-Meier); one "
            "further to the right belongs to data that take longer to fit, and one that ends below "
            "100% to data that some seeds never fit."
        ),
        x=Axis("epoch", log=True),
        y=Axis("trials converged", percent=True),
        series=tuple(kind.name for kind in KINDS),
        points=tuple(points),
        legend="training data",
        marks=False,
    )


def _arm(setting: Setting, condition: Condition, width: int, train: int) -> tuple[Trial, ...]:
    """Return one trial per seed, trained until 100% training accuracy."""
    numbers = setting.preset.time
    network = setting.network_of_width(width)
    algorithm = numbers.algorithm(network, numbers.epochs, stop="converged")
    return trials_per_seed(setting, condition, algorithm, train=train)


def _by_kind(setting: Setting) -> dict[Condition, tuple[Trial, ...]]:
    numbers = setting.preset.time
    return {kind: _arm(setting, kind, numbers.width, numbers.train) for kind in KINDS}


def _width_arms(setting: Setting, level: Condition) -> list[tuple[Trial, ...]]:
    numbers = setting.preset.time
    return [_arm(setting, level, width, numbers.width_train) for width in numbers.widths]


def _size_arms(setting: Setting, level: Condition) -> list[tuple[Trial, ...]]:
    numbers = setting.preset.time
    return [_arm(setting, level, numbers.width, size) for size in numbers.sizes]


def _by_width(setting: Setting) -> list[tuple[Trial, ...]]:
    levels = input_noise(setting.preset.time.levels)
    return [arm for level in levels for arm in _width_arms(setting, level)]


def _by_size(setting: Setting) -> list[tuple[Trial, ...]]:
    levels = input_noise(setting.preset.time.levels)
    return [arm for level in levels for arm in _size_arms(setting, level)]


def _times(records: Records, arms: Iterable[Sequence[Trial]]) -> Values:
    """Return the time to convergence, restricted to the budget, [S, arms]."""

    def time(record: Record) -> Values:
        return restricted(record.epochs, record.trial.algorithm.epochs)

    return read_arms(records, arms, time)


def _evidence(
    values: Mapping[str, Values],
    records: Records,
    arms: Sequence[Sequence[Trial]],
    narrow: str = "",
) -> Evidence:
    ended = tally(records, [trial for arm in arms for trial in arm])
    return ended.evidence(values, undecidable=mostly_censored(records, arms, "100%"), narrow=narrow)

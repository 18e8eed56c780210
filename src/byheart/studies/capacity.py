"""K17 (1), and A17's effective capacity: which widths fit, and how many examples are fitted?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import (
    KINDS,
    RANDX,
    RANDY,
    REAL,
    Condition,
    Values,
    proportion_points,
    read,
    tally,
    trials_per_seed,
)
from byheart.studies.figure import Axis, Figure
from byheart.trial import Algorithm, Trial

WIDTH_X = "log2 of the smallest width that fits, randX over real"
WIDTH_Y = "log2 of the smallest width that fits, randY over real"
PAIRS = ((REAL, RANDX), (REAL, RANDY), (RANDX, RANDY))
HALF_OCTAVE = 0.5


def _pair_name(one: Condition, other: Condition) -> str:
    return f"log2 of the largest n fitted, {one.name} over {other.name}"


class Capacity:
    """Which widths reach 100% training accuracy, and how many examples one algorithm can fit."""

    name = "capacity"
    title = "Capacity"
    source = "A17 §1, K17 (1)"
    claims = (
        Claim(
            "capacity-noise",
            "K17 (1)",
            "more capacity is needed to fit noise",
            Rule(
                (
                    Criterion(WIDTH_X, "above", HALF_OCTAVE),
                    Criterion(WIDTH_Y, "above", HALF_OCTAVE),
                )
            ),
        ),
        Claim(
            "capacity-data",
            "A17 abstract",
            "effective capacity depends on the data: what one algorithm can fit differs between "
            "real, randX and randY",
            Rule(
                tuple(Criterion(_pair_name(*pair), "differs", HALF_OCTAVE) for pair in PAIRS),
                combine="any",
            ),
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds x widths, and kinds x sizes at one small width."""
        return [
            trial
            for kind in KINDS
            for arm in (*_width_arms(setting, kind), *_size_arms(setting, kind))
            for trial in arm
        ]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired log2 ratios per seed. An ungiven fit lies just outside the grid."""
        own = setting.preset.capacity
        needed = {
            kind: _first_fit(np.log2(own.widths), _fits(records, _width_arms(setting, kind)))
            for kind in KINDS
        }
        fitted = {
            kind: -_first_fit(
                -np.log2(own.sizes)[::-1], _fits(records, _size_arms(setting, kind))[:, ::-1]
            )
            for kind in KINDS
        }
        by_width = [t for kind in KINDS for arm in _width_arms(setting, kind) for t in arm]
        by_size = [t for kind in KINDS for arm in _size_arms(setting, kind) for t in arm]
        return {
            "capacity-noise": _evidence(
                {WIDTH_X: needed[RANDX] - needed[REAL], WIDTH_Y: needed[RANDY] - needed[REAL]},
                records,
                by_width,
            ),
            "capacity-data": _evidence(
                {_pair_name(a, b): fitted[a] - fitted[b] for a, b in PAIRS}, records, by_size
            ),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return the fraction of seeds that fit, by width and by number of examples."""
        own = setting.preset.capacity
        by_width, by_size = [], []
        for kind in KINDS:
            by_width += proportion_points(
                "", kind.name, own.widths, _fits(records, _width_arms(setting, kind))
            )
            by_size += proportion_points(
                "", kind.name, own.sizes, _fits(records, _size_arms(setting, kind))
            )
        fits = Axis("seeds that reach 100% training accuracy", percent=True)
        names = tuple(kind.name for kind in KINDS)
        return [
            Figure(
                id="capacity-width",
                title=f"Which widths fit {own.train} examples in {own.width_epochs} epochs",
                source="K17 (1)",
                reading=(
                    "A line that rises further to the right belongs to data that need a wider "
                    "network."
                ),
                x=Axis("units per hidden layer", log=True),
                y=fits,
                series=names,
                points=tuple(by_width),
                legend="training data",
            ),
            Figure(
                id="capacity-size",
                title=(f"How many examples {own.width} units fit in {own.size_epochs} epochs"),
                source="A17 abstract",
                reading=(
                    "A line that falls further to the left belongs to data of which the same "
                    "learning algorithm can fit fewer."
                ),
                x=Axis("training examples", log=True),
                y=fits,
                series=names,
                points=tuple(by_size),
                legend="training data",
            ),
        ]


def _arm(
    setting: Setting, kind: Condition, width: int, train: int, epochs: int
) -> tuple[Trial, ...]:
    own = setting.preset.capacity
    algorithm = Algorithm(
        network=setting.network((width, width)),
        learning_rate=own.learning_rate,
        batch_size=own.batch_size,
        epochs=epochs,
        stop="converged",
    )
    return trials_per_seed(setting, kind, algorithm, train=train)


def _width_arms(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    own = setting.preset.capacity
    return [_arm(setting, kind, width, own.train, own.width_epochs) for width in own.widths]


def _size_arms(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    own = setting.preset.capacity
    return [_arm(setting, kind, own.width, size, own.size_epochs) for size in own.sizes]


def _fits(records: Records, arms: Sequence[Sequence[Trial]]) -> Values:
    """Return 1 where a seed reached 100%, 0 where it did not, [S, arms]."""

    def fit(record: Record) -> float:
        return float(record.outcome == "converged")

    return np.stack([read(records, arm, fit) for arm in arms], axis=1)


def _first_fit(grid: Values, fits: Values) -> Values:
    """Return for each row of ``fits`` the first grid value that fits; none: one step beyond."""
    beyond = 2 * grid[-1] - grid[-2]
    first = np.append(grid, beyond)[np.where((fits == 1).any(1), (fits == 1).argmax(1), -1)]
    return np.where(np.isnan(fits).any(1), np.nan, first)


def _evidence(values: Mapping[str, Values], records: Records, trials: Sequence[Trial]) -> Evidence:
    return tally(records, trials).evidence(
        values,
        note="trials that never reach 100% are what is measured here, so they are expected",
    )

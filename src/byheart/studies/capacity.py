"""K17 (1): which widths fit?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import CHOSEN_WIDTH, NOTHING_KNOWN, Claim, Records, Setting
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
from byheart.trial import Algorithm, Trial

WIDTH_X = "log2 of the smallest width that fits, randX over real"
WIDTH_Y = "log2 of the smallest width that fits, randY over real"
HALF_OCTAVE = 0.5


class Capacity:
    """Which widths reach 100% training accuracy at all."""

    name = "capacity"
    title = "Capacity to fit noise"
    source = "K17 (1)"
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
            needs=CHOSEN_WIDTH,
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds x widths."""
        return [trial for kind in KINDS for arm in _arms(setting, kind) for trial in arm]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired log2 ratios per seed. An ungiven fit lies just outside the grid."""
        fits = {kind: _fits(records, _arms(setting, kind)) for kind in KINDS}
        widths = np.log2(setting.preset.capacity.widths)
        needed = {kind: _first_fit(widths, own) for kind, own in fits.items()}
        failing, steps = (sum(counts) for counts in zip(*map(_steps, fits.values()), strict=True))
        evidence = tally(records, self.plan(setting)).evidence(
            {WIDTH_X: needed[RANDX] - needed[REAL], WIDTH_Y: needed[RANDY] - needed[REAL]},
            note=(
                "trials that never reach 100% are what is measured here, so they are expected; "
                f"of {steps} networks wider than one that fits, {failing} do not"
            ),
        )
        return {"capacity-noise": evidence}

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return the fraction of seeds that fit, by width."""
        own = setting.preset.capacity
        points = []
        for kind in KINDS:
            fits = _fits(records, _arms(setting, kind))
            points += proportion_points("", kind.name, own.widths, fits)
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
                y=Axis("seeds that reach 100% training accuracy", percent=True),
                series=tuple(kind.name for kind in KINDS),
                points=tuple(points),
                legend="training data",
            )
        ]


def _arms(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    own = setting.preset.capacity
    return [
        trials_per_seed(
            setting,
            kind,
            Algorithm(
                network=setting.network((width, width)),
                learning_rate=own.learning_rate,
                batch_size=own.batch_size,
                epochs=own.width_epochs,
                stop="converged",
            ),
            train=own.train,
        )
        for width in own.widths
    ]


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


def _steps(fits: Values) -> tuple[int, int]:
    """Count the networks wider than one that fits: those that do not fit themselves, and all."""
    known = fits[~np.isnan(fits).any(axis=1)]
    after = np.maximum.accumulate(known[:, :-1], axis=1) == 1
    return int((after & (known[:, 1:] == 0)).sum()), int(after.sum())

"""A17's effective capacity: how many examples can one algorithm fit? Found by bisection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.bisection import Search, bisect, bisection_grid
from byheart.studies.conditions import (
    KINDS,
    RANDX,
    RANDY,
    REAL,
    Condition,
    Values,
    proportion_points,
    tally,
    trials_per_seed,
)
from byheart.trial import Algorithm, Trial

PAIRS = ((REAL, RANDX), (REAL, RANDY), (RANDX, RANDY))
HALF_OCTAVE = 0.5
MOST_AT_AN_END = 0.5
"""Above this share of searches of one kind that end at an end of the grid, a small difference
says nothing: the larger one may lie beyond."""


def _pair_name(one: Condition, other: Condition) -> str:
    return f"log2 of the largest n fitted, {one.name} over {other.name}"


class CapacityData:
    """The largest number of examples that one algorithm fits within its budget."""

    name = "capacity-data"
    title = "Effective capacity"
    source = "A17 §1, abstract"
    claims = (
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
        """Return the sizes asked so far, and of every search that goes on the next."""
        return _asked(setting, known, unknown=None)

    def costliest(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials of all rounds if everything not known yet were fitted.

        As many as in any other case, and larger ones.
        """
        return _asked(setting, known, unknown=True)

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired log2 ratios per seed. A size that is not on the grid stands at its end."""
        fitted = {kind: _capacity(records, setting, kind) for kind in KINDS}
        values = {_pair_name(a, b): np.log2(fitted[a] / fitted[b]) for a, b in PAIRS}
        none = sum(int((own < sizes(setting)[0]).sum()) for own in fitted.values())
        every = sum(int((own == sizes(setting)[-1]).sum()) for own in fitted.values())
        searches = len(KINDS) * setting.seeds
        count = replace(tally(records, self.plan(setting, records)), censored=none + every)
        note = (
            f"bisection takes it that whoever fits n examples fits fewer; {none} of {searches} "
            f"searches found no size of the grid fitted and {every} all of them, and count as its "
            "ends"
        )
        return {
            "capacity-data": count.evidence(
                values, note=note, undecidable=_hidden(fitted, values, setting)
            )
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return the share of seeds that fit so many examples."""
        own = setting.preset.capacity
        network = f"{own.width} units" if setting.model is None else setting.model.name
        grid = np.array(sizes(setting), dtype=float)
        points = []
        for kind in KINDS:
            fitted = _capacity(records, setting, kind)[:, None]
            reached = np.where(np.isnan(fitted), np.nan, fitted >= grid)
            points += proportion_points("", kind.name, grid, reached)
        return [
            Figure(
                id="capacity-size",
                title=f"How many examples {network} fit in {own.size_epochs} epochs",
                source="A17 abstract",
                reading=(
                    "A line that falls further to the left belongs to data of which the same "
                    "learning algorithm can fit fewer. Each seed's largest n was found by "
                    "bisection: not every point was trained."
                ),
                x=Axis("training examples", log=True),
                y=Axis("seeds that reach 100% training accuracy", percent=True),
                series=tuple(kind.name for kind in KINDS),
                points=tuple(points),
                legend="training data",
            )
        ]


def sizes(setting: Setting) -> tuple[int, ...]:
    """Return the grid of training set sizes, ascending."""
    own = setting.preset.capacity
    return bisection_grid(own.smallest, own.largest, own.rounds)


def arm(setting: Setting, kind: Condition, train: int) -> tuple[Trial, ...]:
    """Return one trial per seed on so many examples."""
    own = setting.preset.capacity
    algorithm = Algorithm(
        network=setting.network((own.width, own.width)),
        learning_rate=own.learning_rate,
        batch_size=own.batch_size,
        epochs=own.size_epochs,
        stop="converged",
    )
    return trials_per_seed(setting, kind, algorithm, train=train)


def _asked(setting: Setting, known: Records, unknown: bool | None) -> list[Trial]:
    return [
        arms[index][seed]
        for arms in (_arms(setting, kind) for kind in KINDS)
        for seed in range(setting.seeds)
        for index in _search(known, arms, seed, unknown).asked
    ]


def _arms(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    return [arm(setting, kind, size) for size in sizes(setting)]


def _search(
    records: Records, arms: Sequence[Sequence[Trial]], seed: int, unknown: bool | None = None
) -> Search:
    def fits(index: int) -> bool | None:
        record = records.of(arms[index][seed])
        if record is None:
            return unknown
        return None if record.outcome == "diverged" else record.outcome == "converged"

    return bisect(fits, len(arms))


def _capacity(records: Records, setting: Setting, kind: Condition) -> Values:
    """Return the largest n fitted by each seed [S]; NaN where a trial diverged or failed."""
    grid = np.log2(sizes(setting))
    steps = np.exp2([2 * grid[0] - grid[1], *grid])
    # Whole numbers again, but for the step below the grid.
    steps[1:] = sizes(setting)
    arms = _arms(setting, kind)
    found = [_search(records, arms, seed).last for seed in range(setting.seeds)]
    return np.array([np.nan if last is None else steps[last + 1] for last in found])


def _hidden(
    fitted: Mapping[Condition, Values], values: Mapping[str, Values], setting: Setting
) -> str:
    """Return why a small difference cannot be told from one beyond the grid, if so."""
    first, last = sizes(setting)[0], sizes(setting)[-1]
    ends = [
        kind.name
        for kind, own in fitted.items()
        if ((own < first) | (own == last)).mean() > MOST_AT_AN_END
    ]
    means = [own[np.isfinite(own)].mean() for own in values.values() if np.isfinite(own).any()]
    if ends and all(abs(mean) < HALF_OCTAVE for mean in means):
        return f"most searches on {' and '.join(ends)} ended at an end of the grid"
    return ""

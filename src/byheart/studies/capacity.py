"""K17 (1): which widths fit? A17's effective capacity: how many examples can one algorithm fit?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
    read_arms,
    tally,
    trials_per_seed,
)
from byheart.trial import Trial


@dataclass(frozen=True)
class Bisection:
    """How far a bisection has come.

    Attributes:
        asked: indices into the grid, in the order in which they are asked.
        last: the last index that holds; -1 if none does; None while an answer is missing.
    """

    asked: tuple[int, ...]
    last: int | None


def bisect(holds: Callable[[int], bool | None], size: int) -> Bisection:
    """Search a grid for the last index that holds, by halving.

    Formula: what holds at i is taken to hold at all j < i. Of a grid of 2^m - 1 every search asks
    for exactly m. Where that is not so, the answer is one at which "holds" turns into "holds not".

    Args:
        holds: the answer at an index; None if there is none (yet).
        size: size of the grid.
    """
    low, high = -1, size
    asked: list[int] = []
    while high - low > 1:
        middle = (low + high) // 2
        asked.append(middle)
        answer = holds(middle)
        if answer is None:
            return Bisection(tuple(asked), None)
        low, high = (middle, high) if answer else (low, middle)
    return Bisection(tuple(asked), low)


def bisection_grid(smallest: int, largest: int, rounds: int) -> tuple[int, ...]:
    """Return the 2^rounds - 1 whole numbers, evenly in their log, that bisection can tell apart."""
    spaced = np.geomspace(smallest, largest, 2**rounds - 1)
    return tuple(round(float(value)) for value in spaced)


HALF_OCTAVE = 0.5
WIDTH_X = "log2 of the smallest width that fits, randX over real"
WIDTH_Y = "log2 of the smallest width that fits, randY over real"


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
        return [trial for kind in KINDS for arm in _width_trials(setting, kind) for trial in arm]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired log2 ratios per seed. An ungiven fit lies just outside the grid."""
        fits = {kind: _fits(records, _width_trials(setting, kind)) for kind in KINDS}
        widths = np.log2(setting.preset.capacity.widths)
        needed = {kind: _first_fit(widths, of_kind) for kind, of_kind in fits.items()}
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
        numbers = setting.preset.capacity
        points = []
        for kind in KINDS:
            fits = _fits(records, _width_trials(setting, kind))
            points += proportion_points("", kind.name, numbers.widths, fits)
        return [
            Figure(
                id="capacity-width",
                title=f"Which widths fit {numbers.train} examples in {numbers.width_epochs} epochs",
                source="K17 (1)",
                reading=(
                    "A line that rises further to the right belongs to data that need a wider "
                    "network."
                ),
                x=Axis(setting.width_axis, log=True),
                y=Axis("seeds that reach 100% training accuracy", percent=True),
                series=tuple(kind.name for kind in KINDS),
                points=tuple(points),
                legend="training data",
            )
        ]


def _width_trials(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    numbers = setting.preset.capacity
    return [
        _to_convergence(setting, kind, width, numbers.train, numbers.width_epochs)
        for width in numbers.widths
    ]


def _to_convergence(
    setting: Setting, kind: Condition, width: int, train: int, epochs: int
) -> tuple[Trial, ...]:
    network = setting.network_of_width(width)
    algorithm = setting.preset.capacity.algorithm(network, epochs, stop="converged")
    return trials_per_seed(setting, kind, algorithm, train=train)


def _fits(records: Records, arms: Sequence[Sequence[Trial]]) -> Values:
    """Return 1 where a seed reached 100%, 0 where it did not, [S, arms]."""

    def fit(record: Record) -> float:
        return float(record.outcome == "converged")

    return read_arms(records, arms, fit)


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


PAIRS = ((REAL, RANDX), (REAL, RANDY), (RANDX, RANDY))
MOST_AT_AN_END = 0.5
"""Above this share of searches of one kind that end at an end of the grid, a small difference
says nothing: the larger one may lie beyond."""


def _pair_name(first: Condition, second: Condition) -> str:
    return f"log2 of the largest n fitted, {first.name} over {second.name}"


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
        none = sum(int((of_kind < sizes(setting)[0]).sum()) for of_kind in fitted.values())
        every = sum(int((of_kind == sizes(setting)[-1]).sum()) for of_kind in fitted.values())
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
        numbers = setting.preset.capacity
        network = setting.width_in_words(numbers.width)
        grid = np.array(sizes(setting), dtype=float)
        points = []
        for kind in KINDS:
            fitted = _capacity(records, setting, kind)[:, None]
            reached = np.where(np.isnan(fitted), np.nan, fitted >= grid)
            points += proportion_points("", kind.name, grid, reached)
        return [
            Figure(
                id="capacity-size",
                title=f"How many examples {network} fit in {numbers.size_epochs} epochs",
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
    numbers = setting.preset.capacity
    return bisection_grid(numbers.smallest, numbers.largest, numbers.rounds)


def trials_of_size(setting: Setting, kind: Condition, train: int) -> tuple[Trial, ...]:
    """Return one trial per seed on so many examples."""
    numbers = setting.preset.capacity
    return _to_convergence(setting, kind, numbers.width, train, numbers.size_epochs)


def _asked(setting: Setting, known: Records, unknown: bool | None) -> list[Trial]:
    return [
        arms[index][seed]
        for arms in (_size_trials(setting, kind) for kind in KINDS)
        for seed in range(setting.seeds)
        for index in _bisected(known, arms, seed, unknown).asked
    ]


def _size_trials(setting: Setting, kind: Condition) -> list[tuple[Trial, ...]]:
    return [trials_of_size(setting, kind, size) for size in sizes(setting)]


def _bisected(
    records: Records, arms: Sequence[Sequence[Trial]], seed: int, unknown: bool | None = None
) -> Bisection:
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
    arms = _size_trials(setting, kind)
    last_fitted = [_bisected(records, arms, seed).last for seed in range(setting.seeds)]
    return np.array([np.nan if last is None else steps[last + 1] for last in last_fitted])


def _hidden(
    fitted: Mapping[Condition, Values], values: Mapping[str, Values], setting: Setting
) -> str:
    """Return why a small difference cannot be told from one beyond the grid, if so."""
    first, last = sizes(setting)[0], sizes(setting)[-1]
    ends = [
        kind.name
        for kind, of_kind in fitted.items()
        if ((of_kind < first) | (of_kind == last)).mean() > MOST_AT_AN_END
    ]
    means = [
        of_kind[np.isfinite(of_kind)].mean()
        for of_kind in values.values()
        if np.isfinite(of_kind).any()
    ]
    if ends and all(abs(mean) < HALF_OCTAVE for mean in means):
        return f"most searches on {' and '.join(ends)} ended at an end of the grid"
    return ""

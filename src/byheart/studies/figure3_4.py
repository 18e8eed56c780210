"""A17 Figures 3 and 4: loss-sensitivity, over examples and over classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

from byheart.charts.figure import Axis, Figure, Matrix, MatrixFigure, Point
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, ON_MNIST, Claim, Records, Setting
from byheart.studies.conditions import (
    KINDS,
    RANDX,
    RANDY,
    REAL,
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
RANDOM = (RANDX, RANDY)
NORMS = ("sum of absolute values", "Euclidean", "maximum")
RANK = "rank correlation of g_bar_x, {} norm with " + NORMS[0]
SIGN = "share of Gini differences, real to random, of one sign in all norms"
DIAGONAL = "log2 of the diagonal's share of g_bar_ij over chance, real"
SPREAD = "log2 of the diagonal's share of g_bar_ij, {} over real"
FACTOR = round(float(np.log2(1.25)), 3)
TENTH = round(float(np.log2(1.1)), 3)


def gini_name(kind: Condition) -> str:
    """Return the statistic of a contrast with real data."""
    return f"Gini of loss-sensitivity at the end of training, real minus {kind.name}"


class Figure3And4:
    """How unevenly loss-sensitivity is spread over examples, and how it is over classes."""

    name = "figure-3-4"
    title = "Loss-sensitivity"
    source = "A17 Fig 3, 4"
    claims = (
        Claim(
            "gini-labels",
            "A17 Fig 3 left",
            "the Gini coefficient of loss-sensitivity rises as training goes on for real data, and "
            "stays low for random data",
            Rule(tuple(Criterion(gini_name(kind), "above", GINI_SMALLEST) for kind in RANDOM)),
            drawn_on=f"{ON_MNIST}, 14x14 pixels",
        ),
        Claim(
            "sensitivity-norm",
            "A17 §3.2",
            "other norms of the gradient tell the same story",
            Rule(
                (
                    *(Criterion(RANK.format(n), "above", 0.1, null=0.8) for n in NORMS[1:]),
                    Criterion(SIGN, "above", 0.4, null=0.5),
                )
            ),
            drawn_on=f"{ON_MNIST}, 14x14 pixels",
        ),
        Claim(
            "per-class-sensitivity",
            "A17 Fig 4",
            "loss-sensitivity between classes is highest on the diagonal, and more spread out off "
            "it on real data than on random data",
            Rule(
                (
                    Criterion(DIAGONAL, "above", FACTOR),
                    *(Criterion(SPREAD.format(kind.name), "above", TENTH) for kind in RANDOM),
                )
            ),
            drawn_on=f"{ON_MNIST}, 14x14 pixels",
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds x seeds."""
        return [trial for kind in KINDS for trial in _trials(setting, kind)]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired differences per seed; a gap where a derivative was lost."""
        arms = {kind: _trials(setting, kind) for kind in KINDS}
        gini = {kind: _final_gini(records, arm) for kind, arm in arms.items()}
        share = {kind: _log2_diagonal(records, setting, kind) for kind in KINDS}
        ranks = np.stack([_ranks(records, arm) for arm in arms.values()])
        every = list(arms.values())
        return {
            "gini-labels": _evidence(
                {gini_name(kind): gini[REAL][:, 0] - gini[kind][:, 0] for kind in RANDOM},
                records,
                every,
                note=_grown(records, arms),
            ),
            "sensitivity-norm": _evidence(
                {
                    **{RANK.format(n): ranks[:, :, i].min(0) for i, n in enumerate(NORMS[1:])},
                    SIGN: _same_sign(gini),
                },
                records,
                every,
                note="rank correlations are the smallest over the kinds of data",
            ),
            "per-class-sensitivity": _evidence(
                {
                    DIAGONAL: share[REAL],
                    **{SPREAD.format(kind.name): share[kind] - share[REAL] for kind in RANDOM},
                },
                records,
                every,
                note=_highest(records, setting),
            ),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure | MatrixFigure]:
        """Return the Gini coefficient over updates, and the sensitivity between classes."""
        arms = {kind: _trials(setting, kind) for kind in KINDS}
        left = _gini_figure(
            records,
            arms,
            times(setting.preset.sensitivity.updates, setting.preset.sensitivity.evaluations),
            id="figure-3-labels",
            title="How unevenly loss-sensitivity is spread over examples",
            source="A17 Fig 3 left",
        )
        matrices = []
        for kind in KINDS:
            lasted = _matrices(records, setting, kind)
            lasted = lasted[np.isfinite(lasted).all((1, 2))]
            if len(lasted):
                matrices.append(Matrix(kind.name, tuple(map(tuple, lasted.mean(0).tolist()))))
        if not matrices:
            return [left]
        return [left, _heatmap(matrices, setting)]


def _trials(setting: Setting, kind: Condition) -> tuple[Trial, ...]:
    numbers = setting.preset.sensitivity
    return _sgd_trials(
        setting,
        kind,
        learning_rate=numbers.learning_rate,
        updates=numbers.updates,
        evaluations=numbers.evaluations,
        per_class=numbers.per_class,
    )


def _ranks(records: Records, arm: Sequence[Trial]) -> Values:
    """Return the rank correlation over examples of norms 2 and inf with norm 1, [S, 2]."""

    def value(record: Record) -> Values:
        first, *others = record.arrays["sensitivity.mean"]
        return np.array([float(stats.spearmanr(first, norm).statistic) for norm in others])

    return _read_kept(records, arm, value, (2,))


def _same_sign(gini: Mapping[Condition, Values]) -> Values:
    """Return for each seed the share of contrasts and other norms with the sign of norm 1."""
    differences = np.stack([gini[REAL] - gini[kind] for kind in RANDOM], axis=1)
    same = np.sign(differences[..., 1:]) == np.sign(differences[..., :1])
    lost = np.isnan(differences).any((1, 2))
    return np.where(lost, np.nan, same.mean((1, 2)))


def _matrices(records: Records, setting: Setting, kind: Condition) -> Values:
    """Return g_bar_ij of each seed, [S, classes, classes]."""
    classes = len(setting.data.classes)
    shape = (classes, classes)

    arm = _trials(setting, kind)
    return _read_kept(records, arm, lambda r: r.arrays["sensitivity.per_class"], shape)


def _log2_diagonal(records: Records, setting: Setting, kind: Condition) -> Values:
    matrices = _matrices(records, setting, kind)
    diagonal = np.trace(matrices, axis1=1, axis2=2)
    return np.asarray(np.log2(matrices.shape[1] * diagonal / matrices.sum((1, 2))))


def _highest(records: Records, setting: Setting) -> str:
    """Return in how many classes the diagonal is highest, word by word as the papers say it."""
    words = []
    for kind in KINDS:
        lasted = _matrices(records, setting, kind)
        lasted = lasted[np.isfinite(lasted).all((1, 2))]
        if len(lasted):
            on_it = lasted.argmax(1) == np.arange(lasted.shape[1])
            words.append(f"{100 * on_it.mean():.0f}% on {kind.name}")
    if not words:
        return ""
    return f"classes whose examples move their own class's loss most: {', '.join(words)}"


def _heatmap(matrices: Sequence[Matrix], setting: Setting) -> MatrixFigure:
    return MatrixFigure(
        id="figure-4",
        title="Loss-sensitivity between classes",
        source="A17 Fig 4",
        reading=(
            "A cell says how much the loss of the examples of one class hangs on an example of "
            "another: the darker, the more, in each panel from nothing to its own largest, in the "
            "mean over seeds. A dark diagonal means that classes keep to themselves."
        ),
        rows="loss of class",
        columns="example of class",
        labels=setting.data.classes,
        matrices=tuple(matrices),
    )


class Figure3Unique:
    """The Gini coefficient with unique labels; to shuffle these changes nothing, so no randY."""

    name = "figure-3-unique"
    title = "Loss-sensitivity without classes"
    source = "A17 Fig 3 right"
    claims = (
        Claim(
            "gini-unique",
            "A17 Fig 3 right",
            "the same when each example is its own class: loss-sensitivity is spread more unevenly "
            "on real than on random data",
            Rule((Criterion(gini_name(RANDX), "above", GINI_SMALLEST),)),
            drawn_on=f"{ON_MNIST}, 14x14 pixels",
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: real and random inputs, by seed."""
        return [trial for arm in _unique_trials(setting).values() for trial in arm]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired differences per seed; a gap where a derivative was lost."""
        arms = _unique_trials(setting)
        real, random = (_final_gini(records, arms[kind])[:, 0] for kind in (REAL, RANDX))
        unique = _evidence(
            {gini_name(RANDX): real - random},
            records,
            list(arms.values()),
            note=_grown(records, arms),
        )
        return {"gini-unique": unique}

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return the Gini coefficient over updates."""
        numbers = setting.preset.sensitivity
        return [
            _gini_figure(
                records,
                _unique_trials(setting),
                times(numbers.unique_updates, numbers.unique_evaluations),
                id="figure-3-unique",
                title="How unevenly loss-sensitivity is spread, every example a class of its own",
                source=self.source,
            )
        ]


def _unique_trials(setting: Setting) -> dict[Condition, tuple[Trial, ...]]:
    numbers = setting.preset.sensitivity
    return {
        kind: _sgd_trials(
            setting,
            kind,
            learning_rate=numbers.unique_learning_rate,
            updates=numbers.unique_updates,
            evaluations=numbers.unique_evaluations,
            unique_labels=True,
        )
        for kind in (REAL, RANDX)
    }


def times(updates: int, count: int) -> tuple[int, ...]:
    """Return ``count`` update counts, evenly spaced, the last of them ``updates``."""
    return tuple(sorted({updates * (i + 1) // count for i in range(count)}))


@lru_cache(maxsize=16)
def _sgd_trials(
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
        learning_rate: learning rate of SGD.
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
        network=setting.mlp(numbers.hidden),
        learning_rate=learning_rate,
        batch_size=numbers.batch_size,
        epochs=-(-updates // -(-numbers.train // numbers.batch_size)),
    )
    changes = {"downsample": _shrink(setting), "unique_labels": unique_labels}
    plain = trials_per_seed(setting, kind, algorithm, train=numbers.train, probes=(probe,))
    return tuple(t.model_copy(update={"data": t.data.model_copy(update=changes)}) for t in plain)


def _read_kept(
    records: Records,
    arm: Sequence[Trial],
    value: Callable[[Record], Values],
    shape: tuple[int, ...],
) -> Values:
    """Return ``value`` [shape] of each seed; NaN if the derivative overflowed before the end."""

    def of(record: Record) -> Values:
        return value(record) if _kept(record) else np.full(shape, np.nan)

    return read(records, arm, of, shape)


def _final_gini(records: Records, arm: Sequence[Trial]) -> Values:
    """Return the Gini coefficient of g_bar_x at the end of training in each norm, [S, 3]."""
    return _read_kept(records, arm, lambda r: r.arrays["sensitivity.gini"][-1], (len(NORMS),))


def _grown(records: Records, arms: Mapping[Condition, Sequence[Trial]]) -> str:
    """Return how far the Gini coefficient went in training, by kind, for the note."""
    words = []
    for kind, arm in arms.items():
        curves = _curves(records, arm)
        curves = curves[np.isfinite(curves).all(1)]
        if len(curves):
            start, end = curves[:, 0].mean(), curves[:, -1].mean()
            words.append(f"{start:.2f} to {end:.2f} on {kind.name}")
    return f"Gini in training, from the first evaluation on: {', '.join(words)}" if words else ""


def _evidence(
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


def _gini_figure(
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

"""Arpit et al. (2017, A17), Figures 10 and 11: memorization under regularizers, and their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from byheart.charts.figure import Axis, Figure, Point
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies import regularizing
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import Values, mean_points, tally
from byheart.studies.regularizing import (
    ADVERSARIAL,
    DROPOUT,
    MARGIN,
    OTHERS,
    PLAIN,
    READINGS,
    REGULARIZERS,
    ArmCurves,
    Reading,
    StrengthArm,
    StrengthEffect,
    choose,
    crossfit,
    effects,
    merge_halves,
    outcome,
)
from byheart.trial import Trial


def _drop(reading: Reading) -> str:
    return f"drop in training accuracy on randY where harmless by {reading} epoch"


def _gain(reading: Reading) -> str:
    return f"validation accuracy gained there, {reading} epoch"


def _over_others(reading: Reading) -> str:
    return f"that drop under dropout minus under the best other, {reading} epoch"


def _adversarial(reading: Reading) -> str:
    return f"that drop with adversarial training minus dropout alone, {reading} epoch"


ACROSS = "rank correlation of a seed's order with the others' order on the other labels"
LOST = "rank correlation with the others' order on the same labels minus on the other labels"


NEEDS_HIDDEN_LAYERS = "hidden layers that byheart can put dropout and noise into"
"""Requirement of the claims: dropout and noise act on hidden layers."""


class Figure10And11:
    """Explicit regularizers on real and on random labels."""

    name = "figure-10-11"
    title = "Regularizers"
    source = "A17 Fig 10, 11, K17 (4)"
    claims = (
        Claim(
            "regularizer-gap",
            "A17 Fig 10, K17 (4)",
            "for suitable strengths, explicit regularization lowers training accuracy on randY "
            "without lowering validation accuracy on real data",
            Rule(
                tuple(
                    criterion
                    for reading in READINGS
                    for criterion in (
                        Criterion(_drop(reading), "above", 0.1),
                        Criterion(_gain(reading), "above", 0.001, null=-MARGIN),
                    )
                )
            ),
            needs=NEEDS_HIDDEN_LAYERS,
        ),
        Claim(
            "dropout-best",
            "A17 Fig 10",
            "dropout is the most effective; best of all with adversarial training on critical "
            "samples",
            Rule(
                tuple(
                    Criterion(name(reading), "above", 0.05)
                    for reading in READINGS
                    for name in (_over_others, _adversarial)
                )
            ),
            needs=NEEDS_HIDDEN_LAYERS,
        ),
        Claim(
            "curve-order",
            "A17 Fig 11",
            "the order of training curves under the regularizers differs between random and real "
            "labels",
            Rule(
                (
                    Criterion(ACROSS, "below", 0.1, null=0.85),
                    Criterion(LOST, "above", 0.1),
                )
            ),
            needs=NEEDS_HIDDEN_LAYERS,
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: every strength of every regularizer, on real data and on randY."""
        return regularizing.plan(setting)

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return per-seed drops, at strengths chosen on the other half, and rank correlations."""
        by_regularizer = effects(records, setting)
        outcome_counts = tally(records, regularizing.plan(setting))
        gap, chosen = _gap(by_regularizer)
        return {
            "regularizer-gap": outcome_counts.evidence(
                gap, note=f"chosen by the other half: {chosen}"
            ),
            "dropout-best": outcome_counts.evidence(
                _dropout_comparisons(by_regularizer), note=_mean_drop_note(by_regularizer)
            ),
            "curve-order": outcome_counts.evidence(
                _order_correlations(records, setting, by_regularizer)
            ),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return Figure 10 for either reading of validation accuracy, and Figure 11."""
        return [_figure_10(records, setting), _figure_11(records, setting)]


def _gap(by_regularizer: Mapping[str, Sequence[StrengthEffect]]) -> tuple[dict[str, Values], str]:
    """Return drop and gain per seed for either epoch, and the names of the chosen arms."""
    all_effects = [
        effect for of_regularizer in by_regularizer.values() for effect in of_regularizer
    ]
    values, names = {}, []
    for reading in READINGS:
        choices = crossfit(all_effects, reading)
        values[_drop(reading)] = merge_halves(choices, [c.effect.drop for c in choices])
        values[_gain(reading)] = merge_halves(choices, [c.effect.gain[reading] for c in choices])
        arms = " and ".join(dict.fromkeys(c.effect.arm.name for c in choices))
        names.append(f"{arms} (by {reading} epoch)")
    return values, "; ".join(names)


def _harmless_drop(candidates: Sequence[StrengthEffect], reading: Reading) -> Values:
    """Return the drop per seed at the strength chosen on the other half; 0 if none is harmless."""
    choices = crossfit(candidates, reading)
    # Zero times the drop, so that NaN stays NaN.
    return merge_halves(
        choices, [c.effect.drop if c.harmless else 0.0 * c.effect.drop for c in choices]
    )


def _dropout_comparisons(
    by_regularizer: Mapping[str, Sequence[StrengthEffect]],
) -> dict[str, Values]:
    others = [effect for regularizer in OTHERS for effect in by_regularizer[regularizer]]
    adversarial = by_regularizer[ADVERSARIAL]
    values = {}
    for reading in READINGS:
        dropout = _harmless_drop(by_regularizer[DROPOUT], reading)
        values[_over_others(reading)] = dropout - _harmless_drop(others, reading)
        values[_adversarial(reading)] = _harmless_drop(adversarial, reading) - dropout
    return values


def _mean_drop_note(by_regularizer: Mapping[str, Sequence[StrengthEffect]]) -> str:
    drops = {name: _harmless_drop(by_regularizer[name], "best") for name in REGULARIZERS}
    known = [f"{name} {np.nanmean(v):.2f}" for name, v in drops.items() if np.isfinite(v).any()]
    return f"mean drop where harmless by best epoch: {', '.join(known)}" if known else ""


def _order_correlations(
    records: Records, setting: Setting, by_regularizer: Mapping[str, Sequence[StrengthEffect]]
) -> dict[str, Values]:
    """Return each seed's rank correlation of regularizers with the other half's mean.

    Curves are ranked by their mean accuracy over the checkpoints. Every regularizer has the
    strength chosen on the other half.
    """
    across, same = np.full((2, setting.seeds), np.nan)
    chosen = [crossfit(by_regularizer[name], "best") for name in REGULARIZERS]
    for choices in zip(*chosen, strict=True):
        test_seeds = choices[0].judged
        curves = [outcome(records, setting, choice.effect.arm) for choice in choices]
        mean_accuracy = {
            kind: np.stack([getattr(curve, kind).mean(axis=1) for curve in curves], axis=1)
            for kind in ("real", "randy")
        }
        others = {
            kind: _mean_over_complete_seeds(values[~test_seeds])
            for kind, values in mean_accuracy.items()
        }
        for seed in test_seeds.nonzero()[0]:
            real, randy = mean_accuracy["real"][seed], mean_accuracy["randy"][seed]
            across[seed] = np.mean(
                [rank_correlation(real, others["randy"]), rank_correlation(randy, others["real"])]
            )
            same[seed] = np.mean(
                [rank_correlation(real, others["real"]), rank_correlation(randy, others["randy"])]
            )
    return {ACROSS: across, LOST: same - across}


def _mean_over_complete_seeds(values: Values) -> Values:
    usable = values[np.isfinite(values).all(axis=1)]
    return usable.mean(axis=0) if len(usable) else np.full(values.shape[1], np.nan)


def rank_correlation(first: Values, second: Values) -> float:
    """Return Spearman's correlation; NaN where a value is missing or all of one side are equal."""
    if not np.isfinite([first, second]).all() or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def _figure_10(records: Records, setting: Setting) -> Figure:
    plain = outcome(records, setting, PLAIN)
    limit = f"{PLAIN.name}, minus {MARGIN * 100:g} point"
    points: list[Point] = []
    for reading in READINGS:
        panel = f"validation at the {reading} epoch"
        line: list[Point] = []
        for regularizer, strengths in regularizing.arms(setting).items():
            # Every line begins at strength zero.
            for result in (plain, *(outcome(records, setting, arm) for arm in strengths)):
                line += _strength_point(panel, regularizer, result, reading)
        points += line
        if line:
            lowest_accuracy = float(np.nanmean(plain.validation[reading])) - MARGIN
            ends = min(point.x for point in line), max(point.x for point in line)
            points += [Point(panel, limit, x, lowest_accuracy) for x in ends]
    return Figure(
        id="figure-10",
        title="What regularizers take from memorization, and what they cost",
        source="A17 Fig 10, K17 (4)",
        reading=(
            "Each dot is a strength; all lines begin at strength zero. Further left, less of the "
            "random labels is memorized; above the dotted line, validation accuracy on real data "
            "is within a point of that without a regularizer."
        ),
        x=Axis("final training accuracy on randY", percent=True),
        y=Axis("validation accuracy on real data", percent=True),
        series=(*REGULARIZERS, limit),
        points=tuple(point.clipped() for point in points),
        legend="regularizer",
        dashed=(limit,),
    )


def _strength_point(panel: str, series: str, result: ArmCurves, reading: Reading) -> list[Point]:
    x = result.randy[:, -1]
    if not np.isfinite(x).any():
        return []
    at = float(np.nanmean(x))
    return mean_points(panel, series, [at], result.validation[reading][:, None])


def _figure_11(records: Records, setting: Setting) -> Figure:
    all_seeds = np.ones(setting.seeds, dtype=bool)
    chosen: list[StrengthArm] = [
        choose(of_regularizer, "best", all_seeds)[0].arm
        for of_regularizer in effects(records, setting).values()
    ]
    points: list[Point] = []
    for arm in (*chosen, PLAIN):
        result = outcome(records, setting, arm)
        for panel, curve in (("real labels", result.real), ("random labels", result.randy)):
            points += mean_points(panel, arm.name, regularizing.epochs(setting), curve)
    return Figure(
        id="figure-11",
        title="Training curves under the regularizers",
        source="A17 Fig 11",
        reading=(
            "Every regularizer at the strength that takes most from memorization and is harmless; "
            "where none is, at the least harmful. The order of the lines in the two panels is what "
            "is compared."
        ),
        x=Axis("epoch", log=True),
        y=Axis("training accuracy", percent=True),
        series=tuple(arm.name for arm in (*chosen, PLAIN)),
        points=tuple(point.clipped() for point in points),
        legend="regularizer",
        dashed=(PLAIN.name,),
        marks=False,
    )

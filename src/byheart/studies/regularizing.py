"""The runs behind A17 Figures 10 and 11: regularizers by strength, on real and on random labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from byheart.studies.base import Records, Setting
from byheart.studies.conditions import (
    RANDY,
    REAL,
    Condition,
    Values,
    read,
    trials_per_seed,
)
from byheart.studies.presets import log_spaced
from byheart.trial import AccuracyProbe, Trial

MARGIN = 0.01
"""Validation accuracy that a regularizer may cost and still count as harmless: one point."""
SURE = 0.95
"""Confidence with which a strength must be harmless to be chosen."""

DROPOUT = "dropout"
ADVERSARIAL = "dropout with adversarial training"
OTHERS = ("input dropout", "input noise", "hidden noise", "weight decay")
REGULARIZERS = (DROPOUT, *OTHERS, ADVERSARIAL)

Reading = Literal["best", "final"]
READINGS: tuple[Reading, ...] = ("best", "final")
"""Which epoch validation accuracy is read at: each network's best, or the last."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class StrengthArm:
    """A regularizer at one strength: its name, and what it sets in the algorithm."""

    name: str
    numbers: tuple[tuple[str, float], ...] = ()


PLAIN = StrengthArm("none")


def arms(setting: Setting) -> dict[str, tuple[StrengthArm, ...]]:
    """Return the strengths of every regularizer."""
    numbers = setting.preset.regularizers
    single = {
        DROPOUT: ("dropout", numbers.dropout),
        "input dropout": ("input_dropout", numbers.input_dropout),
        "input noise": ("input_noise", numbers.input_noise),
        "hidden noise": ("hidden_noise", numbers.hidden_noise),
        "weight decay": ("weight_decay", numbers.weight_decay),
    }
    by_regularizer = {
        regularizer: tuple(
            StrengthArm(f"{regularizer} {value:g}", ((number, value),)) for value in strengths
        )
        for regularizer, (number, strengths) in single.items()
    }
    by_regularizer[ADVERSARIAL] = tuple(
        StrengthArm(
            f"dropout {rate:g}, adversarial {weight:g}",
            (
                ("dropout", rate),
                ("adversarial_weight", weight),
                ("adversarial_radius", numbers.adversarial_radius),
            ),
        )
        for weight, rate in numbers.adversarial
    )
    return by_regularizer


def epochs(setting: Setting) -> tuple[int, ...]:
    """Return the epochs at which accuracy is measured."""
    numbers = setting.preset.regularizers
    return log_spaced(numbers.epochs, numbers.checkpoints)


def trials(setting: Setting, arm: StrengthArm, kind: Condition) -> tuple[Trial, ...]:
    """Return one trial per seed, trained for the whole budget."""
    numbers = setting.preset.regularizers
    network = setting.network(numbers.hidden)
    return trials_per_seed(
        setting,
        kind,
        numbers.algorithm(network, numbers.epochs, **dict(arm.numbers)),
        train=numbers.train,
        validation=numbers.validation,
        probes=(AccuracyProbe(epochs=epochs(setting)),),
    )


def plan(setting: Setting) -> list[Trial]:
    """Return the trials of every arm, and of none, on real and on random labels."""
    every = (PLAIN, *(arm for strengths in arms(setting).values() for arm in strengths))
    return [t for arm in every for kind in (REAL, RANDY) for t in trials(setting, arm, kind)]


@dataclass(frozen=True)
class ArmCurves:
    """What an arm came to; one row per seed, NaN for one that diverged or failed.

    Attributes:
        real: [S, C] training accuracy on real data.
        randy: [S, C] training accuracy on random labels.
        validation: by reading, [S] validation accuracy of the network trained on real data.
    """

    real: Values
    randy: Values
    validation: Mapping[Reading, Values]


def outcome(records: Records, setting: Setting, arm: StrengthArm) -> ArmCurves:
    """Return what an arm came to."""
    shape = (len(epochs(setting)),)

    def curve(kind: Condition, name: str) -> Values:
        of_kind = trials(setting, arm, kind)
        return read(records, of_kind, lambda record: record.arrays[f"accuracy.{name}"], shape)

    validation = curve(REAL, "validation")
    return ArmCurves(
        real=curve(REAL, "train"),
        randy=curve(RANDY, "train"),
        validation={"best": validation.max(axis=1), "final": validation[:, -1]},
    )


@dataclass(frozen=True)
class StrengthEffect:
    """An arm against none, seed by seed.

    Attributes:
        arm: the regularizer at its strength.
        drop: [S] by how much it lowers the final training accuracy on random labels.
        gain: by reading, [S] by how much it raises validation accuracy on real data.
    """

    arm: StrengthArm
    drop: Values
    gain: Mapping[Reading, Values]


def effects(records: Records, setting: Setting) -> dict[str, tuple[StrengthEffect, ...]]:
    """Return the effect of every arm against none, by regularizer."""
    plain = outcome(records, setting, PLAIN)

    def effect(arm: StrengthArm) -> StrengthEffect:
        result = outcome(records, setting, arm)
        gain = {name: result.validation[name] - plain.validation[name] for name in READINGS}
        return StrengthEffect(arm, plain.randy[:, -1] - result.randy[:, -1], gain)

    return {
        regularizer: tuple(effect(arm) for arm in strengths)
        for regularizer, strengths in arms(setting).items()
    }


def least_gain(values: Values) -> float:
    """Return the lower end of the one-sided interval of a mean; -inf if a value is missing."""
    if len(values) < 2 or not np.isfinite(values).all():
        return -np.inf
    error = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - _quantile(len(values) - 1) * error)


@cache
def _quantile(freedom: int) -> float:
    return float(stats.t.ppf(SURE, freedom))


def choose(
    candidates: Sequence[StrengthEffect], reading: Reading, seeds: Mask
) -> tuple[StrengthEffect, bool]:
    """Return the arm with the largest drop among those shown to be harmless on seeds [S].

    Returns:
        The arm, and whether it is non-inferior: the one-sided interval of its mean gain lies
        above -``MARGIN``. If none is, the one that comes nearest to it.
    """
    # A seed that gave no value for any arm says nothing against one of them.
    seeds = seeds & np.any([np.isfinite(e.drop + e.gain[reading]) for e in candidates], axis=0)
    bounds = [(effect, least_gain(effect.gain[reading][seeds])) for effect in candidates]
    harmless = [e for e, low in bounds if low > -MARGIN and np.isfinite(e.drop[seeds]).all()]
    if harmless:
        return max(harmless, key=lambda effect: float(effect.drop[seeds].mean())), True
    return max(bounds, key=lambda pair: pair[1])[0], False


@dataclass(frozen=True)
class StrengthChoice:
    """The strength chosen on one half of the seeds, and the other half, which judges it."""

    effect: StrengthEffect
    harmless: bool
    judged: Mask


def crossfit(candidates: Sequence[StrengthEffect], reading: Reading) -> list[StrengthChoice]:
    """Choose an arm on each half of the seeds, to be judged on the other half.

    The arm that did best on some seeds did so by luck as well. On seeds that had no part in the
    choice its luck is gone.
    """
    half = np.arange(len(candidates[0].drop)) % 2
    return [StrengthChoice(*choose(candidates, reading, half != k), half == k) for k in (0, 1)]


def merge_halves(choices: Sequence[StrengthChoice], values: Iterable[Values]) -> Values:
    """Return each seed's value [S] under the arm that the other half chose."""
    together = np.full(len(choices[0].judged), np.nan)
    for choice, of_arm in zip(choices, values, strict=True):
        together[choice.judged] = of_arm[choice.judged]
    return together

"""A17 Figure 5: how wide must a network be for the best validation accuracy, by noise level?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.measures.capacity import accuracy_at, sufficient_width
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import CHOSEN_WIDTH, NOTHING_KNOWN, ON_MNIST, Claim, Records, Setting
from byheart.studies.conditions import (
    Condition,
    Values,
    input_noise,
    label_noise,
    mean_points,
    narrow_range,
    read_arms,
    slope,
    tally,
    trials_per_seed,
)
from byheart.studies.presets import log_spaced
from byheart.trial import AccuracyProbe, Trial

MARGIN = 0.01
"""Within one point of the best."""
WIDTH = "slope on {} noise level of log2 of the smallest width within 1 point of the best"
LOSS = "slope on {} noise level of what the width that suffices for real data loses to the widest"
NOISES = ("input", "label")


class Figure5:
    """The best validation accuracy of a network, by its width and the noise it is trained on."""

    name = "figure-5"
    title = "Capacity and validation accuracy"
    source = "A17 Fig 5"
    claims = (
        Claim(
            "capacity-validation",
            "A17 Fig 5",
            "with noise in the training set, the best validation accuracy needs a bigger network",
            Rule(
                (
                    *(
                        Criterion(WIDTH.format(noise), "above", 1.0, unit="octaves")
                        for noise in NOISES
                    ),
                    *(Criterion(LOSS.format(noise), "above", MARGIN) for noise in NOISES),
                )
            ),
            needs=CHOSEN_WIDTH,
            drawn_on=ON_MNIST,
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: widths x levels of either noise; clean data are shared."""
        return [
            trial
            for condition in dict.fromkeys(
                condition for noise in NOISES for condition in _conditions(setting, noise)
            )
            for arm in _arms(setting, condition)
            for trial in arm
        ]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return slopes on the noise level per seed, by the best epoch of each network."""
        values: dict[str, Values] = {}
        notes = []
        for noise in NOISES:
            levels = setting.preset.width.levels
            best = [_curve(records, setting, c, final=False) for c in _conditions(setting, noise)]
            final = [_curve(records, setting, c, final=True) for c in _conditions(setting, noise)]
            needed = _needed(setting, best)
            values[WIDTH.format(noise)] = slope(levels, needed)
            values[LOSS.format(noise)] = slope(levels, _losses(setting, best))
            by_final = slope(levels, _needed(setting, final))
            notes.append(
                f"{noise} noise: by the final epoch the slope of log2 width is "
                f"{_mean(by_final)}; best accuracy lies beyond the second widest network in "
                f"{_at_the_end(setting, needed)}"
            )
        if setting.data.name == "cifar10":
            notes.append("on CIFAR-10 the papers see this with input noise, not with label noise")
        return {
            "capacity-validation": tally(records, self.plan(setting)).evidence(
                values,
                note="; ".join(notes),
                narrow=narrow_range(
                    setting, lambda preset: preset.width.widths, setting.width_axis
                ),
            )
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return validation accuracy against width, by the best and by the final epoch."""
        points = {
            final: [
                point.clipped()
                for noise in NOISES
                for condition in _conditions(setting, noise)
                for point in mean_points(
                    f"noise in the {noise}s",
                    condition.name,
                    setting.preset.width.widths,
                    _curve(records, setting, condition, final=final),
                )
            ]
            for final in (False, True)
        }
        best = Figure(
            id="figure-5",
            title=f"Best validation accuracy by width, {setting.preset.width.train} examples",
            source="A17 Fig 5",
            reading=(
                "The best epoch of each network, on clean validation data. A line that levels off "
                "further to the right belongs to data that need a wider network."
            ),
            x=Axis(setting.width_axis, log=True),
            y=Axis("validation accuracy", percent=True),
            series=tuple(level.name for level in input_noise(setting.preset.width.levels)),
            points=tuple(points[False]),
            legend="fraction replaced by noise",
            ordered=True,
        )
        final = replace(
            best,
            id="figure-5-final",
            title=f"Final validation accuracy by width, {setting.preset.width.train} examples",
            reading=(
                f"The same networks after all {setting.preset.width.epochs} epochs, when wide "
                "networks have fitted noise that narrow ones cannot."
            ),
            points=tuple(points[True]),
        )
        return [best, final]


def _conditions(setting: Setting, noise: str) -> tuple[Condition, ...]:
    levels = setting.preset.width.levels
    # Without noise the two are one: named alike, so that its trials are planned once.
    return input_noise(levels) if noise == "input" else label_noise(levels)


def _arms(setting: Setting, condition: Condition) -> list[tuple[Trial, ...]]:
    numbers = setting.preset.width
    probe = AccuracyProbe(epochs=log_spaced(numbers.epochs, numbers.checkpoints))
    return [
        trials_per_seed(
            setting,
            condition,
            numbers.algorithm(setting.network_of_width(width), numbers.epochs),
            train=numbers.train,
            validation=numbers.validation,
            probes=(probe,),
        )
        for width in numbers.widths
    ]


def _curve(records: Records, setting: Setting, condition: Condition, *, final: bool) -> Values:
    """Return the validation accuracy of each seed and width, [S, W], at the best or last epoch."""

    def accuracy(record: Record) -> float:
        curve = record.arrays["accuracy.validation"]
        return float(curve[-1] if final else curve.max())

    return read_arms(records, _arms(setting, condition), accuracy)


def _needed(setting: Setting, curves: Sequence[Values]) -> Values:
    """Return log2 of the smallest width within the margin of the best, [S, levels]."""
    widths = np.array(setting.preset.width.widths, dtype=float)
    needed = [sufficient_width(widths, curve, margin=MARGIN) for curve in curves]
    return np.log2(np.stack(needed, axis=1))


def _losses(setting: Setting, curves: Sequence[Values]) -> Values:
    """Return what each seed loses at the width that suffices for real data, [S, levels].

    That width is taken from the mean curve of the *other half* of the seeds: then the loss is a
    difference of this seed's own accuracies at two given widths, which noise does not bias.
    """
    widths = np.array(setting.preset.width.widths, dtype=float)
    enough = _sufficient_by_others(widths, curves[0])
    return np.stack([curve[:, -1] - accuracy_at(widths, curve, enough) for curve in curves], axis=1)


def _sufficient_by_others(widths: Values, real: Values) -> Values:
    half = np.arange(len(real)) % 2
    usable = np.isfinite(real).all(axis=1)
    enough = np.full(len(real), np.nan)
    for this_half in (0, 1):
        others = real[usable & (half != this_half)]
        if len(others):
            mean = others.mean(axis=0, keepdims=True)
            enough[half == this_half] = sufficient_width(widths, mean, margin=MARGIN)[0]
    return enough


def _at_the_end(setting: Setting, needed: Values) -> str:
    """Count the curves whose best lies between the last two widths, and so perhaps beyond both."""
    beyond = needed > np.log2(setting.preset.width.widths[-2])
    return f"{int(beyond.sum())} of {int(np.isfinite(needed).sum())} curves"


def _mean(values: Values) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.2f}" if len(finite) else "not known"

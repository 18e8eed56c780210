"""A17 Figures 7 and 8: training on noise. Figure 9 takes its trials and curves from here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, ON_CIFAR, ON_MNIST, Claim, Records, Setting
from byheart.studies.conditions import (
    Condition,
    Values,
    input_noise,
    label_noise,
    mean_points,
    read,
    slope,
    tally,
    trials_per_seed,
)
from byheart.studies.presets import log_spaced
from byheart.trial import AccuracyProbe, CriticalProbe, Trial

FIRST_EPOCH_UPDATES = math.ceil(50_000 / 128)
"""Updates in the first epoch of 50,000 examples in batches of 128 (Zhang et al. 2017)."""
FITTED = 0.9
"""Training accuracy on the noisy examples from which on they count as fitted."""


def accuracy_epochs(setting: Setting) -> tuple[int, ...]:
    """Return the epochs at which accuracy is measured."""
    numbers = setting.preset.dynamics
    return log_spaced(numbers.epochs, numbers.checkpoints)


def critical_epochs(setting: Setting) -> tuple[int, ...]:
    """Return the epochs at which critical samples are searched; half of the budget among them."""
    numbers = setting.preset.dynamics
    half = numbers.epochs // 2
    spaced = log_spaced(numbers.epochs, numbers.critical_checkpoints)
    nearest = min(spaced, key=lambda epoch: abs(epoch - half))
    return tuple(half if epoch == nearest else epoch for epoch in spaced)


def certified_epochs(setting: Setting) -> tuple[int, ...]:
    """Return when the certificate bounds CSR from above: at the searches from :func:`early` on.

    Before, networks have barely moved, and their boxes hold more than a bound can rule out. A
    preset may leave it to the last searches, where certificates take longer than training.
    """
    numbers = setting.preset.dynamics
    if not numbers.certified_examples:
        return ()
    certified = critical_epochs(setting)[early(setting) :]
    return certified[-(numbers.certified_checkpoints or len(certified)) :]


def early(setting: Setting) -> int:
    """Return the index of the first search after as many updates as the papers' first epoch.

    The papers look at networks after one epoch of 50,000 examples. One epoch of a thousand leaves a
    network that has barely moved, whose classes lie close together for that reason alone.
    """
    numbers = setting.preset.dynamics
    per_epoch = math.ceil(numbers.train / numbers.batch_size)
    searched = critical_epochs(setting)
    due = [i for i, epoch in enumerate(searched) if epoch * per_epoch >= FIRST_EPOCH_UPDATES]
    return min(due[0] if due else 0, len(searched) - 2)


def trials(setting: Setting, condition: Condition) -> tuple[Trial, ...]:
    """Return one trial per seed, trained for the whole budget."""
    numbers = setting.preset.dynamics
    probes = (
        AccuracyProbe(epochs=accuracy_epochs(setting)),
        CriticalProbe(
            epochs=critical_epochs(setting),
            radii=numbers.radii,
            train_radii=(numbers.radius,),
            examples=numbers.critical_examples,
            max_steps=numbers.max_steps,
            certify_epochs=certified_epochs(setting),
            certify_radii=(numbers.radius,),
            certify_examples=numbers.certified_examples,
        ),
    )
    return trials_per_seed(
        setting,
        condition,
        numbers.algorithm(setting.network(numbers.hidden), numbers.epochs),
        train=numbers.train,
        validation=numbers.validation,
        probes=probes,
    )


def by_inputs(setting: Setting) -> tuple[Condition, ...]:
    """Return the levels of input noise, clean data first."""
    return input_noise(setting.preset.dynamics.levels)


def by_labels(setting: Setting) -> tuple[Condition, ...]:
    """Return the levels of label noise, clean data first."""
    return label_noise(setting.preset.dynamics.levels)


def plan(setting: Setting) -> list[Trial]:
    """Return the trials at every level of either noise; clean data are shared."""
    conditions = dict.fromkeys((*by_inputs(setting), *by_labels(setting)))
    return [trial for condition in conditions for trial in trials(setting, condition)]


def evidence(
    values: Mapping[str, Values],
    records: Records,
    setting: Setting,
    *,
    note: str = "",
    bounds: Mapping[str, tuple[Values, Values]] | None = None,
) -> Evidence:
    """Return the evidence, with the counts of how the trials ended."""
    counted = tally(records, plan(setting)).evidence(values, note=note)
    return replace(counted, bounds=bounds or {})


@dataclass(frozen=True)
class ConditionCurves:
    """What the runs at one condition measured over time; one row per seed.

    Attributes:
        epochs: [C] epochs of the accuracies.
        validation: [S, C] validation accuracy.
        train: [S, C] training accuracy.
        noisy: [S, C] training accuracy on the noisy examples.
        critical_epochs: [D] epochs of the critical sample ratios.
        critical: [S, D, radii] on validation examples.
        critical_train: [S, D] on training examples, at the radius.
        critical_upper: [S, D, radii] the certificate's upper bound; NaN where it was not sought.
        critical_train_upper: [S, D] the same on training examples.
    """

    epochs: Values
    validation: Values
    train: Values
    noisy: Values
    critical_epochs: Values
    critical: Values
    critical_train: Values
    critical_upper: Values
    critical_train_upper: Values


def curves(records: Records, setting: Setting, condition: Condition) -> ConditionCurves:
    """Return the curves of all seeds at a condition; NaN for one that diverged or failed."""
    of_condition = trials(setting, condition)
    epochs = np.array(accuracy_epochs(setting), dtype=float)
    searched = np.array(critical_epochs(setting), dtype=float)

    def of(name: str, *shape: int) -> Values:
        return read(records, of_condition, lambda record: record.arrays[name], shape)

    def known(name: str, *shape: int) -> Values:
        gap = np.full(shape, np.nan)
        return read(records, of_condition, lambda record: record.arrays.get(name, gap), shape)

    sides = (len(searched), len(setting.preset.dynamics.radii))
    return ConditionCurves(
        epochs=epochs,
        validation=of("accuracy.validation", len(epochs)),
        train=of("accuracy.train", len(epochs)),
        noisy=of("accuracy.train_noisy", len(epochs)),
        critical_epochs=searched,
        critical=of("critical.validation", *sides),
        critical_train=of("critical.train", len(searched), 1)[..., 0],
        critical_upper=known("critical.validation_upper", *sides),
        critical_train_upper=known("critical.train_upper", len(searched), 1)[..., 0],
    )


def peak_by_others(curve: Values) -> np.ndarray:
    """Return for each seed the index at which the mean of the *other half* of the seeds peaks, [S].

    A curve's own maximum lies above its neighbours by chance alone, so "the peak is higher than
    the end" would be true of pure noise. Taken from other seeds, the place of the peak says
    nothing about this seed's noise. Halves (even and odd seeds), because all seeds but one would
    nearly always name the same place, one that is high in their own noise too: on curves of pure
    noise that gives a higher peak at p <= 0.05 in 7% of runs instead of 2.5%, halves in 3.5%.
    """
    half = np.arange(len(curve)) % 2
    usable = np.isfinite(curve).all(axis=1)
    peaks = np.zeros(len(curve), dtype=np.int64)
    for this_half in (0, 1):
        others = curve[usable & (half != this_half)]
        if len(others):
            peaks[half == this_half] = others.mean(axis=0).argmax()
    return peaks


def fitted_epoch(epochs: Values, noisy: Values) -> Values:
    """Return the first epoch at which the noisy examples are fitted; the last one if never, [S]."""
    reached = noisy >= FITTED
    first = np.where(reached.any(axis=1), epochs[reached.argmax(axis=1)], epochs[-1])
    return np.where(np.isnan(noisy).any(axis=1), np.nan, first)


def at_epoch(epochs: Values, curve: Values, when: Values) -> Values:
    """Return each row of ``curve`` [S, C] at its own epoch [S], linear in log time."""
    return np.array(
        [
            np.interp(np.log(epoch), np.log(epochs), row)
            for row, epoch in zip(curve, when, strict=True)
        ]
    )


def between(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return the conditions with some noise but not only noise."""
    return tuple(c for c in conditions if 0 < c.inputs + c.labels < 1)


FINAL_X = "slope of final validation accuracy on input noise level"
BEST_X = "slope of best validation accuracy on input noise level"
FINAL_Y = "slope of final validation accuracy on label noise level"
BEST_Y = "slope of best validation accuracy on label noise level"
DROP = "validation accuracy at its peak minus at the end, with label noise"
LEAD = f"log2 of the epoch at which {FITTED:.0%} of noisy labels are fitted over the peak's"


class Figure7And8:
    """Validation accuracy peaks on patterns and falls while noise is fitted."""

    name = "figure-7-8"
    title = "Patterns first, noise later"
    source = "A17 Fig 7, 8"
    claims = (
        Claim(
            "noise-hurts",
            "A17 Fig 7, 8",
            "final and best validation accuracy fall with the noise level",
            Rule(
                tuple(Criterion(name, "below", 0.05) for name in (FINAL_X, BEST_X, FINAL_Y, BEST_Y))
            ),
            drawn_on=f"{ON_MNIST} (Fig 7); {ON_CIFAR} (Fig 8)",
        ),
        Claim(
            "patterns-first",
            "A17 Fig 7b, 8b",
            "with label noise, validation accuracy peaks before training accuracy is high, then "
            "falls",
            Rule((Criterion(DROP, "above", 0.02), Criterion(LEAD, "above", 0.322))),
            drawn_on=f"{ON_MNIST} (Fig 7); {ON_CIFAR} (Fig 8)",
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials at every noise level."""
        return plan(setting)

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return slopes on noise level, and the peak against the end, per seed."""
        hurt = {}
        for final, best, conditions in (
            (FINAL_X, BEST_X, by_inputs(setting)),
            (FINAL_Y, BEST_Y, by_labels(setting)),
        ):
            validation = [curves(records, setting, c).validation for c in conditions]
            levels = [c.inputs + c.labels for c in conditions]
            hurt[final] = slope(levels, np.stack([v[:, -1] for v in validation], axis=1))
            hurt[best] = slope(levels, np.stack([v.max(axis=1) for v in validation], axis=1))
        first = [_peak(records, setting, condition) for condition in between(by_labels(setting))]
        drop, lead = (np.mean(values, axis=0) for values in zip(*first, strict=True))
        note = "each seed's peak is taken where the mean curve of the other half of the seeds peaks"
        return {
            "noise-hurts": evidence(hurt, records, setting),
            "patterns-first": evidence({DROP: drop, LEAD: lead}, records, setting, note=note),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return training and validation accuracy over epochs, for either noise."""
        return [
            _figure(records, setting, "inputs", by_inputs(setting)),
            _figure(records, setting, "labels", by_labels(setting)),
        ]


def _peak(records: Records, setting: Setting, condition: Condition) -> tuple[Values, Values]:
    """Return the drop after the peak, and by how many octaves it comes before the noise, [S]."""
    curve = curves(records, setting, condition)
    peak = peak_by_others(curve.validation)
    rows = np.arange(len(peak))
    drop = curve.validation[rows, peak] - curve.validation[:, -1]
    fitted = fitted_epoch(curve.epochs, curve.noisy)
    return drop, np.log2(fitted / curve.epochs[peak])


def _figure(
    records: Records, setting: Setting, noise: str, conditions: Sequence[Condition]
) -> Figure:
    points = []
    for condition in conditions:
        curve = curves(records, setting, condition)
        for panel, values in (("training", curve.train), ("validation", curve.validation)):
            points += mean_points(panel, condition.name, curve.epochs, values)
    return Figure(
        id=f"figure-7-8-{noise}",
        title=f"Accuracy over training, noise in the {noise}",
        source="A17 Fig 7a, 8a" if noise == "inputs" else "A17 Fig 7b, 8b",
        reading=(
            "Training accuracy goes on rising while noise is fitted; validation accuracy, on clean "
            "data, shows what that costs: a line that turns down has passed from patterns to noise."
        ),
        x=Axis("epoch", log=True),
        y=Axis("accuracy", percent=True),
        series=tuple(condition.name for condition in conditions),
        points=tuple(point.clipped() for point in points),
        legend=f"fraction of {noise} replaced by noise",
        ordered=True,
        marks=False,
    )

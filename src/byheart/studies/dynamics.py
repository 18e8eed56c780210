"""The runs behind A17 Figures 7, 8 and 9: networks training on inputs or labels that are noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from byheart.statistics.verdict import Evidence
from byheart.studies.base import Records, Setting
from byheart.studies.conditions import (
    Condition,
    Values,
    input_noise,
    label_noise,
    read,
    tally,
    trials_per_seed,
)
from byheart.studies.presets import log_spaced
from byheart.trial import AccuracyProbe, Algorithm, CriticalProbe, Trial

FIRST_EPOCH_UPDATES = math.ceil(50_000 / 128)
"""Updates in the first epoch of 50,000 examples in batches of 128 (Zhang et al. 2017)."""
FITTED = 0.9
"""Training accuracy on the noisy examples from which on they count as fitted."""


def accuracy_epochs(setting: Setting) -> tuple[int, ...]:
    """Return the epochs at which accuracy is measured."""
    own = setting.preset.dynamics
    return log_spaced(own.epochs, own.checkpoints)


def critical_epochs(setting: Setting) -> tuple[int, ...]:
    """Return the epochs at which critical samples are searched; half of the budget among them."""
    own = setting.preset.dynamics
    half = own.epochs // 2
    spaced = log_spaced(own.epochs, own.critical_checkpoints)
    nearest = min(spaced, key=lambda epoch: abs(epoch - half))
    return tuple(half if epoch == nearest else epoch for epoch in spaced)


def certified_epochs(setting: Setting) -> tuple[int, ...]:
    """Return when the certificate bounds CSR from above: at the searches from :func:`early` on.

    Before, networks have barely moved, and their boxes hold more than a bound can rule out.
    """
    if not setting.preset.dynamics.certified_examples:
        return ()
    return critical_epochs(setting)[early(setting) :]


def early(setting: Setting) -> int:
    """Return the index of the first search after as many updates as the papers' first epoch.

    The papers look at networks after one epoch of 50,000 examples. One epoch of a thousand leaves a
    network that has barely moved, whose classes lie close together for that reason alone.
    """
    own = setting.preset.dynamics
    per_epoch = math.ceil(own.train / own.batch_size)
    moments = critical_epochs(setting)
    due = [i for i, epoch in enumerate(moments) if epoch * per_epoch >= FIRST_EPOCH_UPDATES]
    return min(due[0] if due else 0, len(moments) - 2)


def trials(setting: Setting, condition: Condition) -> tuple[Trial, ...]:
    """Return one trial per seed, trained for the whole budget."""
    own = setting.preset.dynamics
    algorithm = Algorithm(
        network=setting.network(own.hidden),
        learning_rate=own.learning_rate,
        batch_size=own.batch_size,
        epochs=own.epochs,
    )
    probes = (
        AccuracyProbe(epochs=accuracy_epochs(setting)),
        CriticalProbe(
            epochs=critical_epochs(setting),
            radii=own.radii,
            train_radii=(own.radius,),
            examples=own.critical_examples,
            max_steps=own.max_steps,
            certify_epochs=certified_epochs(setting),
            certify_radii=(own.radius,),
            certify_examples=own.certified_examples,
        ),
    )
    return trials_per_seed(
        setting,
        condition,
        algorithm,
        train=own.train,
        validation=own.validation,
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
    found = tally(records, plan(setting)).evidence(values, note=note)
    return replace(found, bounds=bounds or {})


@dataclass(frozen=True)
class Curves:
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


def curves(records: Records, setting: Setting, condition: Condition) -> Curves:
    """Return the curves of all seeds at a condition; NaN for one that diverged or failed."""
    own = trials(setting, condition)
    epochs = np.array(accuracy_epochs(setting), dtype=float)
    searched = np.array(critical_epochs(setting), dtype=float)

    def of(name: str, *shape: int) -> Values:
        return read(
            records, own, lambda record: np.asarray(record.arrays[name], dtype=float), shape
        )

    def known(name: str, *shape: int) -> Values:
        gap = np.full(shape, np.nan)
        return read(
            records,
            own,
            lambda record: np.asarray(record.arrays.get(name, gap), dtype=float),
            shape,
        )

    sides = (len(searched), len(setting.preset.dynamics.radii))
    return Curves(
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
    for one in (0, 1):
        others = curve[usable & (half != one)]
        if len(others):
            peaks[half == one] = others.mean(axis=0).argmax()
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
            np.interp(np.log(moment), np.log(epochs), row)
            for row, moment in zip(curve, when, strict=True)
        ]
    )


def between(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return the conditions with some noise but not only noise."""
    return tuple(c for c in conditions if 0 < c.inputs + c.labels < 1)

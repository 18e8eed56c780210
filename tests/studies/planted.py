"""Records with an effect put in: every claim of the registry true, or its opposite."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from tests.studies import planted_regularizers
from tests.studies.planted_filters import with_structure
from tests.studies.simulated import Change, changed

from byheart.record import Record
from byheart.trial import Trial


def planted(sign: int) -> Change:
    """Return what puts the claimed effects into records (``sign`` 1), or the opposite ones (-1)."""

    def change(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        if "correct.bits" in record.arrays:
            return _difficulty(record, trial, rng, sign)
        if "sharpness.eigenvalue" in record.arrays:
            return _sharpness(record, trial, rng, sign)
        if "filters.weights" in record.arrays:
            return with_structure(record, trial, rng, sign)
        if trial.algorithm.epochs == planted_regularizers.EPOCHS:
            return planted_regularizers.regularized(record, trial, rng, sign)
        if "sensitivity.gini" in record.arrays:
            return sensitive(record, trial, rng, sign)
        if trial.data.validation and trial.algorithm.epochs == 12:
            return _by_width(record, trial, rng, sign)
        if "accuracy.train" in record.arrays:
            return _curves(record, trial, rng, sign)
        if trial.algorithm.epochs == 60:
            return _time(record, trial, rng, sign)
        return _fit(record, trial, rng, sign)

    return change


def over_dispersed(record: Record, trial: Trial, ratio: float, rng: np.random.Generator) -> Record:
    """Return Figure 1's record as if its examples' difficulties had this over-dispersion.

    With p ~ Beta(a, a) the ratio over K runs is 1 + (K - 1) / (2 a + 1); here K = 10. All networks
    on one draw of the data find the same examples hard: those that the pool's labels name.
    """
    labels = record.arrays["correct.label"]
    hard = np.full(len(labels), 0.5)
    if ratio > 1:
        a = (9 / (ratio - 1) - 1) / 2
        facts = labels.tobytes() + f"{trial.data.seed} {_kind(trial)}".encode()
        own = np.random.default_rng(zlib.crc32(facts))
        hard = own.beta(a, a, len(labels))
    return changed(record, correct_bits=np.packbits(rng.random((1, len(labels))) < hard, axis=1))


def _kind(trial: Trial) -> str:
    return "randX" if trial.data.inputs else "randY" if trial.data.labels else "real"


def _difficulty(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    claimed, opposite = {"real": (6.0, 1.0), "randX": (1.0, 6.0), "randY": (2.0, 1.0)}[_kind(trial)]
    return over_dispersed(record, trial, claimed if sign > 0 else opposite, rng)


def sensitive(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    """Return the record with loss-sensitivity as the papers say it is, or the other way around.

    The other way, norms 2 and inf rank examples at random, and favour random data.
    """
    random = trial.data.inputs + trial.data.labels > 0
    gini, mean = (record.arrays[f"sensitivity.{name}"] for name in ("gini", "mean"))
    towards = np.array([sign, 1.0, 1.0]) * (0.0 if random else 0.15)
    arrays = {"gini": 0.2 + towards + rng.normal(0, 0.01, gini.shape)}
    one = rng.random(mean.shape[1])
    arrays["mean"] = np.stack([one, one**2, 2 * one] if sign > 0 else rng.random(mean.shape))
    if "sensitivity.per_class" in record.arrays:
        classes = len(record.arrays["sensitivity.per_class"])
        on_it = {(1, 0): 2.0, (1, 1): 8.0, (-1, 0): 0.5, (-1, 1): 0.25}[sign, int(random)]
        noise = rng.uniform(0.9, 1.1, (classes, classes))
        arrays["per_class"] = noise * np.where(np.eye(classes) > 0, on_it, 1.0)
    return replace(
        record, arrays={**record.arrays, **{f"sensitivity.{k}": v for k, v in arrays.items()}}
    )


def _time(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    level, n = trial.data.inputs, trial.data.train
    width = trial.algorithm.network.hidden[0]
    octaves = sign * (
        {"real": 0.0, "randX": -0.5, "randY": 0.5}[_kind(trial)]
        - (0.3 + 0.5 * level) * np.log2(width / 16)
        + (0.3 + 0.5 * level) * np.log2(n / 60)
    )
    epochs = int(np.clip(round(20 * 2 ** (octaves + rng.normal(0, 0.05))), 1, 60))
    return replace(record, epochs=epochs, outcome="converged")


def _by_width(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    """Noise needs up to two octaves more than real data; or real data more, and noise fewer."""
    level = trial.data.inputs + trial.data.labels
    octaves = np.log2(trial.algorithm.network.hidden[0] / 4)
    claimed, opposite = max(0.0, 0.2 + 2.2 * level - octaves), (1 - 2.5 * level) * (2 - octaves)
    lost = claimed if sign > 0 else opposite
    best = 0.7 - 0.1 * level - 0.1 * lost + rng.normal(0, 0.002)
    over_time = best - np.linspace(0.2, 0, len(record.arrays["accuracy.epoch"]))
    return changed(record, accuracy_validation=over_time)


def _fit(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    width, n = trial.algorithm.network.hidden[0], trial.data.train
    harder = {"real": 0, "randX": 1, "randY": 2}[_kind(trial)]
    if trial.algorithm.epochs == 40:
        fits = width >= ((4, 8, 12) if sign > 0 else (12, 6, 4))[harder]
    else:
        fits = n <= ((60, 40, 20) if sign > 0 else (40, 40, 40))[harder]
    return replace(record, outcome="converged" if fits else "budget")


def _sharpness(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    level = trial.data.inputs + trial.data.labels
    value = 2 ** (sign * level + rng.normal(0, 0.1))
    outcome = "budget" if trial.algorithm.stop == "budget" else "converged"
    return replace(changed(record, sharpness_eigenvalue=np.asarray(value)), outcome=outcome)


def _curves(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    level = trial.data.inputs + trial.data.labels
    epochs, searched = (record.arrays[f"{name}.epoch"] for name in ("accuracy", "critical"))
    peak, end = 4.0, float(epochs[-1])

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.01, shape)

    after = np.log2(np.maximum(epochs, peak) / peak)
    before = np.log2(np.minimum(epochs, peak) / peak)
    validation = 0.7 - sign * 0.2 * level + 0.05 * before - sign * 0.05 * after
    noisy = np.where(epochs >= (end if sign > 0 else 1), 0.95, 0.3)
    # CSR waits for the peak, rises while noise is fitted, and settles in the second half.
    settled = end / 2 if sign > 0 else end
    grown = np.log2(np.clip(searched, peak, settled) / peak)
    scale = np.array([0.5, 1.0, 1.5])
    critical = 0.4 + sign * (0.2 * level * scale + (0.1 * grown)[:, None])
    found = critical + noise(*critical.shape)
    bump = np.log2(searched) * np.log2(end / searched) / 20
    on_train = (0.5 + sign * bump + noise(len(searched)))[:, None]
    return changed(
        record,
        accuracy_validation=validation + noise(len(epochs)),
        accuracy_train_noisy=noisy,
        critical_validation=found,
        critical_train=on_train,
        critical_validation_upper=found + 0.002,
        critical_train_upper=on_train + 0.002,
    )

"""Runs in which the truth is known: trained networks on real data, under the names of other trials.

A null run takes, for every trial of the plan, a record of a network of the same shape that was
trained on *real* data. What it calls "randX", "randY" or a level of noise is in truth real, so a
claim on a contrast between them is false by construction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from byheart import load_dataset
from byheart.data.dataset import Dataset
from byheart.record import Record
from byheart.studies.base import Setting, SourceFacts, Study
from byheart.studies.capacity import sizes as capacity_sizes
from byheart.studies.capacity import trials_of_size
from byheart.studies.conditions import REAL
from byheart.studies.presets import QUICK
from byheart.studies.rounds import plan
from byheart.studies.settings import Preset
from byheart.training.engine import train
from byheart.training.packs import make_packs
from byheart.trial import Trial

SEEDS = 12
POOL = 60
"""Networks trained of each shape: more than any one null run takes of it."""

Change = Callable[[Record, Trial, np.random.Generator], Record]


def tiny_preset() -> Preset:
    """Return the quick preset with next to nothing to train."""
    examples = QUICK.examples.model_copy(
        update={"train": 80, "hidden": (16,), "batch_size": 8, "initialisations": 10}
    )
    dynamics = QUICK.dynamics.model_copy(
        update={
            "train": 80, "validation": 100, "hidden": (16,), "batch_size": 8, "epochs": 24,
            "checkpoints": 8, "critical_checkpoints": 6, "critical_examples": 50,
            "certified_examples": 0, "max_steps": 4,
            "levels": (0.0, 0.5, 1.0), "radii": (2 / 255, 6 / 255, 18 / 255), "radius": 6 / 255,
        }
    )  # fmt: skip
    timed = QUICK.time.model_copy(
        update={
            "batch_size": 8, "epochs": 60, "widths": (8, 12, 16, 24), "train": 60,
            "sizes": (20, 40, 60, 80), "width": 16, "width_train": 60,
        }
    )  # fmt: skip
    width = QUICK.width.model_copy(
        update={
            "train": 80, "validation": 100, "batch_size": 8, "epochs": 12, "checkpoints": 4,
            "levels": (0.0, 0.4, 0.8), "widths": (4, 8, 12, 16),
        }
    )  # fmt: skip
    capacity = QUICK.capacity.model_copy(
        update={
            "batch_size": 8, "widths": (4, 6, 8, 12), "train": 40, "width_epochs": 40,
            "smallest": 20, "largest": 60, "rounds": 3, "width": 8, "size_epochs": 20,
        }
    )  # fmt: skip
    sharpness = QUICK.sharpness.model_copy(
        update={
            "train": 60, "hidden": (16,), "batch_size": 8, "levels": (0.0, 0.5, 1.0), "epochs": 12,
            "limit": 40, "loss": 0.5, "online_iterations": 10,
        }
    )  # fmt: skip
    sensitivity = QUICK.sensitivity.model_copy(
        update={
            "train": 40, "hidden": (8,), "batch_size": 10, "updates": 24, "evaluations": 4,
            "per_class": 1, "unique_updates": 24, "unique_evaluations": 3,
        }
    )  # fmt: skip
    regularizers = QUICK.regularizers.model_copy(
        update={
            "train": 80, "validation": 100, "hidden": (16,), "batch_size": 8, "epochs": 14,
            "checkpoints": 4, "dropout": (0.3,), "input_dropout": (0.2,), "input_noise": (0.3,),
            "hidden_noise": (0.1,), "weight_decay": (0.01,), "adversarial": ((0.5, 0.3),),
        }
    )  # fmt: skip
    filters = QUICK.filters.model_copy(
        update={
            "train": 40, "channels": (4,), "dense": (), "batch_size": 8, "epochs": 2,
            "checkpoints": 2,
        }
    )  # fmt: skip
    return QUICK.model_copy(
        update={
            "name": "tiny", "examples": examples, "filters": filters, "sensitivity": sensitivity,
            "width": width, "time": timed, "capacity": capacity, "dynamics": dynamics,
            "regularizers": regularizers, "sharpness": sharpness,
        }
    )  # fmt: skip


def digits() -> Dataset:
    return load_dataset("digits")


def tiny_setting(dataset: Dataset, *, seeds: int = SEEDS) -> Setting:
    return Setting(tiny_preset(), SourceFacts.of(dataset), seeds)


def later_shapes(setting: Setting) -> list[Trial]:
    """Return a trial of every shape that a later round may ask for."""
    sizes = capacity_sizes(setting)
    return [trials_of_size(setting, REAL, size)[0] for size in sizes]


_SHAPES: dict[str, str] = {}


def shape(trial: Trial) -> str:
    """Name what a trial's record must have in common with another to stand in for it."""
    if trial.key not in _SHAPES:
        _SHAPES[trial.key] = _with(trial, seed=0, draw=0).model_dump_json()
    return _SHAPES[trial.key]


def _with(trial: Trial, *, seed: int, draw: int) -> Trial:
    """Return the trial on clean data with other seeds; a copy would keep the key of the first."""
    data = trial.data.model_copy(update={"inputs": 0.0, "labels": 0.0, "seed": draw})
    return Trial(data=data, algorithm=trial.algorithm, seed=seed, probes=trial.probes)


class Pool:
    """Records of networks trained on real data: for each shape, ``POOL`` draws of the data."""

    def __init__(self, studies: Iterable[Study], setting: Setting, dataset: Dataset) -> None:
        self.setting = setting
        wanted = {}
        for study in studies:
            for trial in (*study.plan(setting), *later_shapes(setting)):
                wanted.setdefault(shape(trial), trial)
        trials = [real for trial in wanted.values() for real in self._draws(trial)]
        packs = make_packs(trials, shape=setting.data.shape, classes=len(setting.data.classes))
        self._records: dict[str, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for pack in packs:
            for record in train(pack, dataset):
                draws = self._records[shape(record.trial)]
                draws[record.trial.data.seed].append(record)

    def _draws(self, trial: Trial) -> list[Trial]:
        runs = self._runs(trial)
        return [
            _with(trial, seed=draw * runs + run, draw=draw)
            for draw in range(POOL)
            for run in range(runs)
        ]

    def _runs(self, trial: Trial) -> int:
        """Return how many initialisations a draw of the data has: many for Figure 1, else one."""
        correct = any(probe.name == "correct" for probe in trial.probes)
        return self.setting.preset.examples.initialisations if correct else 1

    def records(self, *, hidden: tuple[int, ...], train: int, epochs: int) -> list[Record]:
        """Return the records of a network on so many examples with such a budget."""
        return [
            record
            for draws in self._records.values()
            for draw in draws.values()
            for record in draw
            if getattr(record.trial.algorithm.network, "hidden", None) == hidden
            and record.trial.algorithm.epochs == epochs
            and record.trial.data.train == train
        ]

    def null_run(
        self, studies: Sequence[Study], rng: np.random.Generator, change: Change | None = None
    ) -> dict[str, Record]:
        """Return a record for each trial, of a network of its shape trained on real data.

        Studies that plan in rounds are asked again until they want no more.

        Draws of the data stay together, and within one run no network stands in for two trials.
        """
        orders: dict[str, Mapping[tuple[object, ...], list[Record]]] = {}
        taken: dict[str, list[Record]] = {}
        records: dict[str, Record] = {}
        waiting = plan(studies, self.setting)
        while waiting:
            trial = waiting.pop(0)
            name = shape(trial)
            draws = orders.setdefault(name, {})
            corrupted = (trial.data.inputs, trial.data.labels, trial.data.seed)
            if corrupted not in draws:
                if name not in taken:
                    of_shape = list(self._records[name].values())
                    taken[name] = [of_shape[i] for i in rng.permutation(len(of_shape))]
                draws[corrupted] = list(taken[name].pop())
            record = relabelled(draws[corrupted].pop(), trial)
            records[trial.key] = record if change is None else change(record, trial, rng)
            if not waiting:
                wanted = plan(studies, self.setting, records)
                waiting = [trial for trial in wanted if trial.key not in records]
        return records


def relabelled(record: Record, trial: Trial) -> Record:
    """Return the record under the name of another trial.

    What the trial takes for noisy is in truth real, and fitted as real examples are.
    """
    arrays = dict(record.arrays)
    if "accuracy.train" in arrays and trial.data.inputs + trial.data.labels > 0:
        arrays["accuracy.train_noisy"] = arrays["accuracy.train"]
    return replace(record, trial=trial, arrays=arrays)


def changed(record: Record, **arrays: np.ndarray) -> Record:
    """Return the record with other arrays; ``critical_train`` stands for ``critical.train``."""
    named = {name.replace("_", ".", 1): values for name, values in arrays.items()}
    return replace(record, arrays={**record.arrays, **named})

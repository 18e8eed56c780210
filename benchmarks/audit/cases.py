"""The cases of the benchmark: their data, their networks, and the files of their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import byheart
from byheart.files import write_text
from byheart.seeds import generator
from byheart.training.recipe import Recipe

PARTS = ("ours", "dynamics", "folds", "halves", "calibration", "onset")
RANKINGS = PARTS[:4]
"""Parts that rank examples: the audit, then its peers by the way in which they train."""
VERSIONS = dict.fromkeys(PARTS, 1) | {"calibration": 5, "ours": 2}
"""Raise the version of a part when its numbers change their meaning: it is then measured again."""
SOURCES = ("mnist", "digits")
RANKED = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.2, True))
"""Rate of wrong labels, and whether classes that look alike are confused."""
DATA_SETS = 5
CALIBRATED = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.1, True), (0.2, True))
AUDITS = {"digits": 24, "mnist": 6}
"""Fewer of MNIST: an audit of 5000 examples takes ten times as long."""
MOMENTA = (0.9, 0.0)
"""With momentum a network memorizes within 30 epochs; without, it has hardly begun to."""
ONSET_RATES = (0.2, 0.4, 0.6)
ONSETS = 10

SIZES = {"digits": (1300, 400), "mnist": (5000, 2000)}
"""Training and validation examples."""
LOOK_ALIKES = (6, 7, 3, 5, 9, 3, 5, 1, 3, 4)
"""For each digit, a digit that looks like it."""
LEARNING_RATES = {"digits": 0.1, "mnist": 0.05}
EPOCHS, TRAININGS = 30, 4
"""Each ranking may spend as many passes over all examples as this."""

SIGNIFICANT_DIGITS = 7

Row = dict[str, Any]


def mlp_digits() -> nn.Module:
    """64-64-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp_mnist() -> nn.Module:
    """784-256-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


NETWORKS = {"digits": mlp_digits, "mnist": mlp_mnist}


def mislabelled(
    dataset: byheart.Dataset, rate: float, seed: int, *, pairs: bool = False
) -> byheart.Dataset:
    """Return a data set with wrong labels.

    Args:
        dataset: with right labels.
        rate: share of labels that are replaced.
        seed: of the draw.
        pairs: replace a label by that of the digit that looks like it. Otherwise draw it from all
            classes, the right one included.
    """
    if not pairs:
        return byheart.corrupt(dataset, labels=rate, seed=seed)
    replaced = torch.from_numpy(generator("pairs", seed).random(len(dataset)) < rate)
    y = torch.where(replaced, torch.tensor(LOOK_ALIKES)[dataset.y], dataset.y)
    return replace(dataset, y=y, noisy_labels=replaced)


@dataclass(frozen=True)
class Case:
    """One data set with wrong labels, and the part of the benchmark that measures it.

    Attributes:
        part: of the benchmark.
        source: of the examples.
        rate: of wrong labels; see :func:`mislabelled`.
        pairs: whether classes that look alike are confused.
        seed: of examples, wrong labels and trainings.
        momentum: of the trainings.
    """

    part: str
    source: str
    rate: float
    pairs: bool
    seed: int
    momentum: float = 0.0

    @property
    def name(self) -> str:
        """Name of the file of its row."""
        kind = "pairs" if self.pairs else "any"
        trained = f"momentum-{self.momentum:g}"
        return f"{self.part}/{self.source}-{trained}-{100 * self.rate:.0f}-{kind}-{self.seed}"

    def data(self) -> tuple[byheart.Dataset, byheart.Dataset]:
        """Return training examples with wrong labels, and validation examples with right ones."""
        whole = byheart.load_dataset(self.source)
        train, validation = whole.split(*SIZES[self.source], self.seed)
        return mislabelled(train, self.rate, self.seed, pairs=self.pairs), validation

    def audited(self) -> byheart.Dataset:
        """Return what an audit is given, with wrong labels: all digits, or 5000 of MNIST."""
        size = None if self.source == "digits" else SIZES[self.source][0]
        data = byheart.load_dataset(self.source, size=size, seed=self.seed)
        return mislabelled(data, self.rate, self.seed, pairs=self.pairs)

    def recipe(self, epochs: int = EPOCHS) -> Recipe:
        """Return how networks train on this case."""
        return Recipe(
            epochs=epochs,
            learning_rate=LEARNING_RATES[self.source],
            momentum=self.momentum,
            schedule="constant",
            device="cpu",
        )


def cases(part: str, source: str) -> Iterator[Case]:
    """Yield the cases of a part, seed by seed: a run that stops early has all kinds of noise."""
    if part in RANKINGS:
        for momentum in MOMENTA:
            for seed in range(DATA_SETS):
                yield from (Case(part, source, *noise, seed, momentum) for noise in RANKED)
    elif part == "onset":
        for seed in range(ONSETS):
            yield from (Case(part, source, rate, False, seed) for rate in ONSET_RATES)
    else:
        for seed in range(AUDITS[source]):
            yield Case(part, source, *CALIBRATED[seed % len(CALIBRATED)], seed)


def all_cases() -> list[Case]:
    """Return every case, in the order in which they are measured."""
    return [case for source in SOURCES for part in PARTS for case in cases(part, source)]


def missing(wanted: Iterable[Case], folder: Path) -> Iterator[Case]:
    """Yield the cases that have no row yet. Each file is looked for when its turn comes."""
    return (case for case in wanted if _read(folder, case) is None)


def keep(case: Case, result: Row, folder: Path) -> Row:
    """Write the row of a case in one step, and return it."""
    row = _facts(case) | {"found": _rounded(result)}
    write_text(folder / f"{case.name}.json", json.dumps(row) + "\n")
    return row


def collected(wanted: Iterable[Case], folder: Path) -> list[Row]:
    """Return the rows that exist, in the order of their cases."""
    rows = (_read(folder, case) for case in wanted)
    return [row for row in rows if row is not None]


def _read(folder: Path, case: Case) -> Row | None:
    """Return the row of a case, or None if there is none of this version."""
    try:
        row: Row = json.loads((folder / f"{case.name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return row if _facts(case).items() <= row.items() else None


def _facts(case: Case) -> Row:
    return asdict(case) | {"version": VERSIONS[case.part]}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value

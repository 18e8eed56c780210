"""The cases of the bench: which data sets with wrong labels each part takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.audit_data import SIZES, mislabelled
from byheart import load_dataset
from byheart.data.dataset import Dataset

PARTS = ("ours", "dynamics", "folds", "halves", "calibration", "onset")
RANKINGS = PARTS[:4]
"""Parts that rank: the audit, and its peers by the way in which they train."""
SOURCES = ("mnist", "digits")
RANKED = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.2, True))
"""Rate, and whether classes that look alike are confused."""
DATA_SETS = 5
CALIBRATED = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.1, True), (0.2, True))
AUDITS = {"digits": 100, "mnist": 24}
"""Fewer of MNIST: an audit of 5000 examples takes ten times as long."""
MOMENTA = (0.9, 0.0)
"""With momentum a network memorizes within 30 epochs; without, it has hardly begun to."""
ONSET_RATES = (0.2, 0.4, 0.6)
ONSETS = 10


@dataclass(frozen=True)
class Case:
    """One data set with wrong labels, and what is asked of it.

    Attributes:
        part: of the bench.
        source: of the examples.
        rate: of wrong labels; see :func:`benchmarks.audit_data.mislabelled`.
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
        """Of its row's file."""
        kind = "pairs" if self.pairs else "any"
        trained = f"momentum-{self.momentum:g}"
        return f"{self.part}/{self.source}-{trained}-{100 * self.rate:.0f}-{kind}-{self.seed}"

    def data(self) -> tuple[Dataset, Dataset]:
        """Return training examples with wrong labels, and validation examples with right ones."""
        train, validation = load_dataset(self.source).split(*SIZES[self.source], self.seed)
        return self._mislabelled(train), validation

    def audited(self) -> Dataset:
        """Return what an audit is given, with wrong labels: all digits, or as many of MNIST."""
        size = None if self.source == "digits" else SIZES[self.source][0]
        return self._mislabelled(load_dataset(self.source, size=size, seed=self.seed))

    def _mislabelled(self, data: Dataset) -> Dataset:
        return mislabelled(data, self.rate, self.seed, pairs=self.pairs)


def cases(part: str, source: str) -> Iterator[Case]:
    """Yield the cases of a part, seed by seed: whoever stops early has all kinds."""
    if part in RANKINGS:
        for momentum in MOMENTA:
            for seed in range(DATA_SETS):
                yield from (Case(part, source, *kind, seed, momentum) for kind in RANKED)
    elif part == "onset":
        for seed in range(ONSETS):
            yield from (Case(part, source, rate, False, seed) for rate in ONSET_RATES)
    else:
        for seed in range(AUDITS[source]):
            yield Case(part, source, *CALIBRATED[seed % len(CALIBRATED)], seed)


def all_cases() -> list[Case]:
    """Return every case, in the order in which they are measured."""
    return [case for source in SOURCES for part in PARTS for case in cases(part, source)]

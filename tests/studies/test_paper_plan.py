"""The papers' own numbers fit the papers' own data."""

from byheart.studies.base import Setting, SourceFacts
from byheart.studies.presets import PAPER
from byheart.studies.registry import STUDIES

SMALLEST_CLASS = 5421
"""The fives among the 60,000 training digits of MNIST."""


def test_mnist_has_enough_examples_of_each_class_for_the_paper_preset() -> None:
    digits = tuple(str(digit) for digit in range(10))
    facts = SourceFacts("mnist", "f", 60_000, (28, 28), digits, SMALLEST_CLASS)
    setting = Setting(PAPER, facts, seeds=1)
    for study in STUDIES:
        for trial in study.plan(setting):
            each = trial.data.train / 10 + trial.data.validation / 10
            assert each <= SMALLEST_CLASS, (study.name, trial.data)

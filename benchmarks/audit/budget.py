"""What every ranking may spend, and the recipe by which all train."""

from __future__ import annotations

from benchmarks.audit.cases import Case
from benchmarks.audit_data import LEARNING_RATES
from byheart.training.recipe import Recipe

EPOCHS, TRAININGS = 30, 4
"""Passes over all examples that each ranking may spend, as so many trainings of so many epochs."""


def recipe(case: Case, epochs: int = EPOCHS) -> Recipe:
    """Return how networks train on a case."""
    return Recipe(epochs, LEARNING_RATES[case.source], case.momentum, 0.0, 32, "cpu")

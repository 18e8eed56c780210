"""How much of its budget a trial can be expected to spend: from records of trials like it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from statistics import mean
from typing import Any

from byheart.record import Outcome, Record
from byheart.trial import Trial


@dataclass(frozen=True)
class Spent:
    """What trials that differ in their seeds alone spent.

    Attributes:
        epochs: on average.
        longest: by the one that took longest.
        converged: share of them that came to where they were to stop.
        trials: how many there were.
    """

    epochs: float
    longest: int
    converged: float
    trials: int

    @classmethod
    def by(cls, records: Iterable[Record]) -> Spent:
        """Return what these records spent, of one condition."""
        own = list(records)
        return cls(
            epochs=round(mean(record.epochs for record in own), 2),
            longest=max(record.epochs for record in own),
            converged=round(mean(record.outcome == "converged" for record in own), 3),
            trials=len(own),
        )


@dataclass(frozen=True)
class Experience:
    """What earlier runs of a preset spent.

    Attributes:
        spent: by condition, of trials that may stop before their budget ends.
        shares: by kind of work (see :func:`byheart.training.cost.work`) and by where trials stop,
            the seconds spent over those of the limits at the rehearsed pace: searches settle,
            cheap bounds prove, and replicas that stop one by one are measured one by one.
    """

    spent: Mapping[str, Spent] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    def of(self, trial: Trial) -> Spent | None:
        """Return what trials like this one spent; None if there was none."""
        if trial.algorithm.stop == "budget":
            budget = trial.algorithm.epochs
            return Spent(budget, budget, 0.0, 0)
        return self.spent.get(condition(trial))

    def share(self, kind: str, stop: str) -> float:
        """Return the share of its limit that a kind of work is expected to take.

        Args:
            kind: of work.
            stop: where trials stop.
        """
        return self.shares.get(f"{kind}, {stop}", 1.0)

    def expected(self, trial: Trial) -> Record | None:
        """Return a record as this trial may leave it; None if there was no trial like it."""
        own = self.of(trial)
        if own is None:
            return None
        outcome: Outcome = "converged" if own.converged >= 0.5 else "budget"
        return Record(trial, outcome, epochs=round(own.epochs))

    def with_records(self, records: Iterable[Record]) -> Experience:
        """Return the experience that these records add to: theirs counts where both have some."""
        return Experience({**self.spent, **spent_by(records)}, self.shares)


def condition(trial: Trial) -> str:
    """Return what a trial has in common with those that differ in their seeds alone.

    The data set is left out: what is known of one is the best guess for another.
    """
    data, own = trial.data, trial.algorithm
    facts = [own.network.name, f"n={data.train}", f"batch {own.batch_size}"]
    facts += [f"rate {own.learning_rate:g}", f"momentum {own.momentum:g}"]
    until = "converged" if own.stop_loss is None else f"loss {own.stop_loss:g}"
    facts += [f"until {until} or {own.epochs}"]
    facts += [f"inputs {data.inputs:g}", f"labels {data.labels:g}"]
    return ", ".join(facts)


def spent_by(records: Iterable[Record]) -> dict[str, Spent]:
    """Return what trials spent that may stop early, by condition."""
    grouped: dict[str, list[Record]] = {}
    for record in records:
        if record.trial.algorithm.stop != "budget" and record.outcome != "failed":
            grouped.setdefault(condition(record.trial), []).append(record)
    return {name: Spent.by(own) for name, own in sorted(grouped.items())}


@cache
def experience_of(preset: str) -> Experience:
    """Return what the recorded runs of a preset spent; nothing if none was recorded.

    Source: ``experience.json``, which ``python -m benchmarks.experience`` makes from a run.
    """
    text = resources.files("byheart.studies.presets").joinpath("experience.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text).get(preset, {})
    spent = {name: Spent(*numbers) for name, numbers in found.get("spent", {}).items()}
    return Experience(spent, found.get("shares", {}))

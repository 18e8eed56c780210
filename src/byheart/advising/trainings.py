"""Trainings of an advice in a store: what is there already is not trained again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from byheart.advising.budget import Budget
from byheart.advising.effects import Curves
from byheart.advising.trainer import Replica, Trainer
from byheart.networks.vmapped import ModulePack
from byheart.record import Record
from byheart.store import Store
from byheart.store.checkpoints import Checkpoints
from byheart.training.loop import TrainingLoop
from byheart.training.resume import Resume, digest_of
from byheart.trial import DataFacts, Trial

CURVES = ("random", "user", "validation", "trusted")


class Training(Trial):
    """A trial under a regularizer, with a fifth of the examples held out by its seed.

    ``data.labels`` is 1 if the labels are random; ``data.validation`` counts the held-out examples.

    Attributes:
        regularizer: its name.
        strength: its strength.
        checkpoints: the epochs at which accuracy is taken.
        trusted: hash of which examples are trusted; empty if none were named.
        version: version of what is trained and measured.
    """

    regularizer: str
    strength: float
    checkpoints: tuple[int, ...]
    trusted: str = ""
    version: Literal[1] = 1


class Trainings:
    """Trains packs, or reads what a store has of them.

    Args:
        trainer: trains the user's network.
        store: stores finished trainings; None to store none.
        checkpoints: stores packs in training, which resume from there; None to store none.
        budget: told how long they take; None without.
        resumed: what is read was trained within the same budget, by an earlier run.
    """

    def __init__(
        self,
        trainer: Trainer,
        store: Store | None = None,
        *,
        checkpoints: Checkpoints | None = None,
        budget: Budget | None = None,
        resumed: bool = False,
    ) -> None:
        self._trainer = trainer
        self._store = store
        self._checkpoints = checkpoints
        self._budget = budget
        self._resumed = resumed
        self._clock = time.monotonic if budget is None else budget.clock

    def of(self, pack: Sequence[Replica]) -> dict[Replica, Curves]:
        """Return the curves of each replica of a pack; those that are missing train together.

        Raises:
            StoreError: the disk is full or the file cannot be written; what was kept before stays.
        """
        stored = self._read(pack)
        missing = [replica for replica in pack if replica not in stored]
        if not missing:
            return stored
        start = self._clock()
        accuracies = self._trainer.accuracies()
        resume = None
        if self._checkpoints is not None:
            resume = Resume(
                self._checkpoints, lambda loop: self._facts(missing, loop), [accuracies]
            )
        fresh = self._trainer.train(missing, accuracies, resume)
        before = 0.0 if resume is None else resume.seconds
        seconds = self._clock() - start + before
        if self._budget is not None:
            self._budget.took(missing, seconds)
            self._budget.spend(before)
        if self._store is not None:
            share = seconds / len(missing)
            self._store.add(
                [self._record(replica, curves, share) for replica, curves in fresh.items()]
            )
        if resume is not None:
            resume.remove()
        return stored | fresh

    def _read(self, pack: Sequence[Replica]) -> dict[Replica, Curves]:
        if self._store is None:
            return {}
        trainings = {replica: self._training(replica) for replica in pack}
        records = self._store.records(trainings.values())
        if self._budget is not None and self._resumed:
            self._budget.spend(sum(record.seconds for record in records.values()))
        return {
            replica: Curves(*(records[training.key].arrays[f"advice.{name}"] for name in CURVES))
            for replica, training in trainings.items()
            if training.key in records
        }

    def _facts(self, pack: Sequence[Replica], loop: TrainingLoop) -> dict[str, Any]:
        """Return all that decides the results of a pack."""
        assert isinstance(loop.network, ModulePack)
        return {
            "trials": [self._training(replica).key for replica in pack],
            "weights": digest_of(*loop.network.parameters()),
        }

    def _training(self, replica: Replica) -> Training:
        trainer = self._trainer
        train, held_out = trainer.counts
        return Training(
            data=DataFacts(
                fingerprint=trainer.dataset.fingerprint,
                train=train,
                validation=held_out,
                labels=float(replica.random),
                seed=replica.seed,
            ),
            algorithm=trainer.recipe.algorithm(trainer.source, trainer.examined),
            seed=replica.seed,
            regularizer=replica.arm.regularizer,
            strength=replica.arm.strength,
            checkpoints=trainer.checkpoints,
            trusted=trainer.trusted_hash,
        )

    def _record(self, replica: Replica, curves: Curves, seconds: float) -> Record:
        training = self._training(replica)
        pairs = zip(CURVES, curves.parts(), strict=True)
        arrays = {f"advice.{name}": curve for name, curve in pairs}
        learned = curves.random if replica.random else curves.user
        return Record(
            training,
            "budget" if np.isfinite(learned).all() else "diverged",
            epochs=training.algorithm.epochs,
            arrays=arrays,
            seconds=seconds,
            device=self._trainer.recipe.device,
        )

"""Small trials and records for the tests of the store and the runners."""

from __future__ import annotations

import numpy as np

from byheart.record import Outcome, Record
from byheart.trial import MLP, AccuracyProbe, Algorithm, DataFacts, Trial


def a_trial(seed: int = 0, *, hidden: int = 8, labels: float = 0.1, epochs: int = 3) -> Trial:
    return Trial(
        data=DataFacts(fingerprint="f" * 64, train=20, validation=10, labels=labels, seed=seed),
        algorithm=Algorithm(
            network=MLP(hidden=(hidden,)), learning_rate=0.1, batch_size=5, epochs=epochs
        ),
        seed=seed,
        probes=(AccuracyProbe(epochs=(0, epochs)),),
    )


def a_record(trial: Trial, outcome: Outcome = "budget", *, reason: str = "") -> Record:
    draw = np.random.default_rng(trial.seed)
    arrays = {
        "accuracy.epoch": np.array([0, trial.algorithm.epochs]),
        "accuracy.train": draw.random(2),
        "critical.validation": draw.random((2, 3)).astype(np.float32),
        "correct.bits": draw.integers(0, 256, (2, 3), dtype=np.uint8),
    }
    return Record(
        trial,
        outcome,
        epochs=trial.algorithm.epochs,
        arrays={} if outcome == "failed" else arrays,
        seconds=0.1 + trial.seed,
        threads=2,
        reason=reason,
    )

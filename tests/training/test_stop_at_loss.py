"""Trials that end at a training loss end at the first epoch that reaches it, or at their budget."""

import pytest
import torch
from pydantic import ValidationError

from byheart.data.sources import load_dataset
from byheart.training.engine import train
from byheart.training.packs import Pack
from byheart.trial import MLP, AccuracyProbe, Algorithm, DataFacts, Trial

EPOCHS = 40


def trial(seed: int, loss: float | None, labels: float = 0.0) -> Trial:
    return Trial(
        data=DataFacts(fingerprint="f", train=60, validation=0, labels=labels, seed=seed),
        algorithm=Algorithm(
            network=MLP(hidden=(16,)),
            learning_rate=0.3,
            batch_size=16,
            epochs=EPOCHS,
            stop="budget" if loss is None else "loss",
            stop_loss=loss,
        ),
        seed=seed,
        probes=(AccuracyProbe(epochs=tuple(range(EPOCHS + 1))),),
    )


def test_a_replica_leaves_at_the_first_epoch_whose_loss_is_low_enough() -> None:
    digits = load_dataset("digits")
    seeds, levels = range(3), (0.0, 1.0)
    watched = [trial(seed, None, level) for seed in seeds for level in levels]
    stopped = [trial(seed, 0.2, level) for seed in seeds for level in levels]
    curves = train(Pack(tuple(watched)), digits, dtype=torch.float64)
    records = train(Pack(tuple(stopped)), digits, dtype=torch.float64)
    for curve, record in zip(curves, records, strict=True):
        low = (curve.arrays["accuracy.train_loss"] <= 0.2).nonzero()[0]
        assert record.outcome == ("converged" if len(low) else "budget")
        assert record.epochs == (low[0] if len(low) else EPOCHS)
    assert {record.outcome for record in records} == {"converged", "budget"}


def test_a_loss_to_stop_at_goes_with_stopping_at_a_loss() -> None:
    for changes in ({"stop": "loss"}, {"stop": "budget", "stop_loss": 0.1}):
        with pytest.raises(ValidationError, match="stop_loss"):
            Algorithm(
                network=MLP(hidden=(4,)), learning_rate=0.1, batch_size=2, epochs=3, **changes
            )

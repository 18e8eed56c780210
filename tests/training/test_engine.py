from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.plain_training import plain_training

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.training.engine import train
from byheart.training.packs import Pack
from byheart.trial import (
    MLP,
    AccuracyProbe,
    Algorithm,
    CorrectProbe,
    CriticalProbe,
    DataFacts,
    Trial,
)

EPOCHS = 6


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def trial(digits: Dataset, seed: int = 0, **changes: object) -> Trial:
    data = {"inputs": 0.0, "labels": 0.0, "train": 100, "data_seed": seed, **changes}
    return Trial(
        data=DataFacts(
            fingerprint=digits.fingerprint,
            train=data["train"],
            validation=50,
            inputs=data["inputs"],
            labels=data["labels"],
            seed=data["data_seed"],
        ),
        algorithm=Algorithm(
            network=MLP(hidden=changes.get("hidden", (20, 12))),
            batch_size=32,
            epochs=changes.get("epochs", EPOCHS),
            learning_rate=changes.get("learning_rate", 0.1),
            momentum=changes.get("momentum", 0.0),
            weight_decay=changes.get("weight_decay", 0.0),
            decay_every=changes.get("decay_every"),
            stop=changes.get("stop", "budget"),
        ),
        seed=seed,
        probes=changes.get("probes", (AccuracyProbe(epochs=(0, 1, 3, EPOCHS)),)),
    )


def mixed(digits: Dataset, replicas: int) -> list[Trial]:
    """Return trials that differ in everything that may differ within a pack."""
    return [
        trial(
            digits,
            seed=i,
            data_seed=i // 2,
            inputs=(0.0, 0.5, 1.0)[i % 3],
            labels=(0.0, 0.3)[i % 2],
            learning_rate=(0.1, 0.05, 0.2)[i % 3],
            momentum=(0.0, 0.9, 0.5)[(i + 1) % 3],
            weight_decay=(0.0, 0.01)[i % 2],
            decay_every=(None, 2)[(i // 2) % 2],
        )
        for i in range(replicas)
    ]


@pytest.mark.parametrize("replicas", [1, 3, 17])
def test_a_pack_of_replicas_equals_separate_plain_runs(digits: Dataset, replicas: int) -> None:
    trials = mixed(digits, replicas)
    records = train(Pack(tuple(trials)), digits, dtype=torch.float64)
    for own, record in zip(trials, records, strict=True):
        model, logits = plain_training(own, digits)
        assert record.trial == own
        _, validation = digits.split(100, 50, own.data.seed)
        guess = model(validation.x.double()).argmax(1)
        accuracy = float((guess == validation.y).double().mean())
        assert record.arrays["accuracy.validation"][-1] == accuracy
        labels = _labels(own, digits)
        losses = [
            float(torch.nn.functional.cross_entropy(logits[epoch - 1], labels))
            for epoch in (1, 3, EPOCHS)
        ]
        np.testing.assert_allclose(
            record.arrays["accuracy.train_loss"][1:], losses, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_every_branch_of_the_optimizer_equals_plain_pytorch(
    digits: Dataset, momentum: float, weight_decay: float
) -> None:
    own = trial(digits, momentum=momentum, weight_decay=weight_decay, decay_every=2)
    (record,) = train(Pack((own,)), digits, dtype=torch.float64)
    _, logits = plain_training(own, digits)
    loss = float(torch.nn.functional.cross_entropy(logits[-1], _labels(own, digits)))
    assert record.arrays["accuracy.train_loss"][-1] == pytest.approx(loss, abs=1e-9)


def _labels(own: Trial, digits: Dataset) -> torch.Tensor:
    data, _ = digits.split(own.data.train, own.data.validation, own.data.seed)
    return corrupt(data, labels=own.data.labels, seed=own.data.seed).y


def test_a_replica_does_not_depend_on_the_pack_it_sat_in(digits: Dataset) -> None:
    trials = mixed(digits, 5)
    together = train(Pack(tuple(trials)), digits, dtype=torch.float64)
    for own, record in zip(trials, together, strict=True):
        (alone,) = train(Pack((own,)), digits, dtype=torch.float64)
        for name, values in alone.arrays.items():
            np.testing.assert_allclose(record.arrays[name], values, rtol=0, atol=1e-9)


def test_training_twice_gives_the_same_bits(digits: Dataset) -> None:
    pack = Pack(tuple(mixed(digits, 4)))
    for one, other in zip(train(pack, digits), train(pack, digits), strict=True):
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(other.arrays[name], values)


def test_each_replica_stops_at_its_own_first_epoch_of_full_training_accuracy(
    digits: Dataset,
) -> None:
    trials = [
        trial(
            digits,
            seed=i,
            labels=level,
            epochs=150,
            learning_rate=0.3,
            stop="converged",
            train=40,
            probes=(),
        )
        for i, level in enumerate((0.0, 0.5, 1.0, 0.0))
    ]
    records = train(Pack(tuple(trials)), digits, dtype=torch.float64)
    ends = []
    for own, record in zip(trials, records, strict=True):
        _, logits = plain_training(own, digits)
        labels = _labels(own, digits)
        done = [bool((z.argmax(1) == labels).all()) for z in logits]
        if any(done):
            assert (record.outcome, record.epochs) == ("converged", done.index(True) + 1)
        else:
            assert (record.outcome, record.epochs) == ("budget", 150)
        ends.append(record.epochs)
    assert len(set(ends)) > 1, "the replicas were meant to end at different epochs"


def test_a_replica_that_diverges_ends_alone(digits: Dataset) -> None:
    well, wild = trial(digits, seed=0), trial(digits, seed=1, learning_rate=1e200)
    (alone,) = train(Pack((well,)), digits, dtype=torch.float64)
    kept, ended = train(Pack((well, wild)), digits, dtype=torch.float64)
    assert (kept.outcome, kept.epochs) == ("budget", EPOCHS)
    assert ended.outcome == "diverged"
    assert 1 <= ended.epochs < EPOCHS
    assert list(ended.arrays["accuracy.epoch"]) == [
        epoch for epoch in (0, 1, 3, EPOCHS) if epoch < ended.epochs
    ]
    np.testing.assert_allclose(
        kept.arrays["accuracy.train_loss"], alone.arrays["accuracy.train_loss"], atol=1e-9
    )


def test_a_pack_whose_replicas_all_diverge_still_leaves_its_records(digits: Dataset) -> None:
    records = train(Pack((trial(digits, learning_rate=1e30),)), digits)
    assert [record.outcome for record in records] == ["diverged"]


def test_probes_agree_with_the_network_they_look_at(digits: Dataset) -> None:
    probes = (
        AccuracyProbe(epochs=(EPOCHS,)),
        CorrectProbe(epochs=(1, EPOCHS)),
        CriticalProbe(
            epochs=(1, EPOCHS),
            radii=(0.004, 0.04),
            train_radii=(0.004,),
            examples=30,
            max_steps=8,
        ),
    )
    own = trial(digits, labels=0.4, probes=probes)
    (record,) = train(Pack((own,)), digits, dtype=torch.float64)
    _, logits = plain_training(own, digits)
    labels = _labels(own, digits)
    right = (logits[-1].argmax(1) == labels).numpy()
    arrays = record.arrays
    bits = np.unpackbits(arrays["correct.bits"], axis=1, count=100).astype(bool)
    np.testing.assert_array_equal(bits[-1], right)
    np.testing.assert_array_equal(arrays["correct.label"], labels.numpy())
    noisy = arrays["accuracy.train_noisy"][0]
    clean = arrays["accuracy.train_clean"][0]
    assert 0.4 * noisy + 0.6 * clean == pytest.approx(right.mean())
    assert arrays["critical.validation"].shape == (2, 2)
    assert arrays["critical.train"].shape == (2, 1)
    assert (np.diff(arrays["critical.validation"], axis=1) >= 0).all()
    success = arrays["critical.success"]
    assert (np.diff(success, axis=0) >= 0).all()
    np.testing.assert_allclose(success[-1], arrays["critical.validation"][-1])
    assert (arrays["critical.control"] <= arrays["critical.validation"][-1]).all()


def test_progress_is_reported_once_an_epoch(digits: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    train(Pack((trial(digits),)), digits, on_epoch=lambda done, total: seen.append((done, total)))
    assert seen == [(epoch, EPOCHS) for epoch in range(1, EPOCHS + 1)]

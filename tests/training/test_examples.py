from __future__ import annotations

import pytest
import torch

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.training.examples import gather_examples
from byheart.trial import DataFacts


@pytest.mark.parametrize("train", [60, 201])
def test_every_replica_sees_what_split_and_corrupt_give(train: int) -> None:
    digits = load_dataset("digits")
    facts = [
        DataFacts(
            fingerprint=digits.fingerprint,
            train=train,
            validation=33,
            inputs=inputs,
            labels=labels,
            seed=seed,
        )
        for seed in (0, 1)
        for inputs, labels in ((0.0, 0.0), (0.5, 0.0), (0.25, 0.5), (1.0, 1.0))
    ]
    examples = gather_examples(facts, digits)
    x = examples.inputs(examples.train_rows)
    validation = examples.inputs(examples.validation_rows)
    for r, one in enumerate(facts):
        expected, clean = digits.split(train, 33, one.seed)
        expected = corrupt(expected, inputs=one.inputs, labels=one.labels, seed=one.seed)
        torch.testing.assert_close(x[r], expected.x.flatten(1), rtol=0, atol=0)
        torch.testing.assert_close(examples.train_y[r], expected.y)
        torch.testing.assert_close(examples.noisy[r], expected.noisy)
        torch.testing.assert_close(validation[r], clean.x.flatten(1), rtol=0, atol=0)
        torch.testing.assert_close(examples.validation_y[r], clean.y)


def test_noise_levels_of_one_seed_share_their_inputs() -> None:
    digits = load_dataset("digits")
    facts = [
        DataFacts(fingerprint=digits.fingerprint, train=100, validation=10, inputs=level, seed=0)
        for level in (0.0, 0.25, 0.5)
    ]
    assert len(gather_examples(facts, digits).pool) == 100 + 10 + 50


def test_pixels_are_averaged_before_they_are_corrupted() -> None:
    digits = load_dataset("digits")
    facts = DataFacts(
        fingerprint=digits.fingerprint,
        train=40,
        validation=20,
        inputs=0.5,
        seed=3,
        downsample=2,
    )
    examples = gather_examples([facts], digits, dtype=torch.float64)
    train, validation = digits.split(40, 20, 3)
    small = [
        part.x.reshape(-1, 4, 2, 4, 2).mean((2, 4), dtype=torch.float64)
        for part in (train, validation)
    ]
    expected = corrupt(
        Dataset.from_arrays("small", small[0], train.y, digits.classes), inputs=0.5, seed=3
    )
    x = examples.inputs(examples.train_rows)[0]
    torch.testing.assert_close(x, expected.x.flatten(1).double(), rtol=0, atol=1e-6)
    seen = examples.inputs(examples.validation_rows)[0]
    torch.testing.assert_close(seen, small[1].flatten(1), rtol=0, atol=1e-6)
    assert facts.seen_shape(digits.shape) == (4, 4)
    assert facts.seen_shape((3, 32, 31)) == (3, 16, 15)


def test_with_unique_labels_every_training_example_is_its_own_class() -> None:
    digits = load_dataset("digits")
    facts = DataFacts(
        fingerprint=digits.fingerprint, train=25, validation=0, inputs=1.0, unique_labels=True
    )
    examples = gather_examples([facts, facts], digits)
    assert examples.train_y.tolist() == [list(range(25))] * 2
    assert facts.outputs(10) == 25

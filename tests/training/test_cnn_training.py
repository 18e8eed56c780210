"""A pack of CNNs equals separate plain PyTorch runs, whatever is asked of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.plain_cnn import plain_cnn_training
from torch.utils.flop_counter import FlopCounterMode

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.errors import InputError
from byheart.networks.build import build_pack
from byheart.training.cost import flops, pack_bytes
from byheart.training.engine import make_step, train
from byheart.training.packs import Pack, make_packs
from byheart.training.regularizers.base import Batch
from byheart.training.step import AutogradStep
from byheart.trial import CNN, AccuracyProbe, Algorithm, CriticalProbe, DataFacts, Trial

EPOCHS = 4
NETWORK = CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def colours() -> Dataset:
    draw = torch.Generator().manual_seed(0)
    return Dataset.from_arrays(
        "colours", torch.rand(120, 3, 12, 12, generator=draw), torch.arange(120) % 4
    )


def trial(dataset: Dataset, seed: int = 0, **changes: object) -> Trial:
    facts = {"train": 60, "validation": 20, "seed": seed}
    algorithm = {
        "network": NETWORK, "batch_size": 16, "epochs": EPOCHS, "learning_rate": 0.05,
        "momentum": 0.9,
    }  # fmt: skip
    facts |= {name: value for name, value in changes.items() if name in DataFacts.model_fields}
    algorithm |= {name: value for name, value in changes.items() if name in Algorithm.model_fields}
    return Trial(
        data=DataFacts(fingerprint=dataset.fingerprint, **facts),
        algorithm=Algorithm(**algorithm),
        seed=seed,
        probes=changes.get("probes", (AccuracyProbe(epochs=(0, *range(1, EPOCHS + 1))),)),
    )


def assert_equal_to_plain_runs(trials: list[Trial], dataset: Dataset) -> None:
    records = train(Pack(tuple(trials)), dataset, dtype=torch.float64)
    for own, record in zip(trials, records, strict=True):
        model, logits = plain_cnn_training(own, dataset)
        training, validation = dataset.split(60, 20, own.data.seed)
        labels = corrupt(training, labels=own.data.labels, seed=own.data.seed).y
        losses = [float(torch.nn.functional.cross_entropy(one, labels)) for one in logits]
        np.testing.assert_allclose(
            record.arrays["accuracy.train_loss"][1:], losses, rtol=0, atol=1e-9
        )
        guess = model(validation.x.double().flatten(1)).argmax(1)
        accuracy = float((guess == validation.y).double().mean())
        assert record.arrays["accuracy.validation"][-1] == accuracy


def mixed(dataset: Dataset, replicas: int, **changes: object) -> list[Trial]:
    """Return trials that differ in everything that may differ within a pack."""
    return [
        trial(
            dataset,
            seed=i,
            inputs=(0.0, 1.0, 0.5)[i % 3],
            labels=(0.0, 0.3)[i % 2],
            learning_rate=(0.05, 0.02)[i % 2],
            momentum=(0.9, 0.0, 0.5)[i % 3],
            weight_decay=(0.0, 0.01)[i % 2],
            decay_every=(None, 2)[i % 2],
            **changes,
        )
        for i in range(replicas)
    ]


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_pack_of_cnns_equals_separate_plain_runs(digits: Dataset, replicas: int) -> None:
    assert_equal_to_plain_runs(
        [trial(digits, seed=i, decay_every=2) for i in range(replicas)], digits
    )


def test_replicas_with_their_own_numbers_equal_separate_plain_runs(digits: Dataset) -> None:
    assert_equal_to_plain_runs(mixed(digits, 3), digits)


@pytest.mark.parametrize(
    "network",
    [
        CNN(channels=(4, 3), dense=(6, 5), kernel=5, crop=1),
        CNN(channels=(4,), dense=(), kernel=3),
        CNN(channels=(2,), dense=(5,), kernel=1, pool=2, stride=3),
    ],
    ids=lambda network: network.name,
)
def test_every_architecture_equals_plain_runs_on_colours(colours: Dataset, network: CNN) -> None:
    assert_equal_to_plain_runs(mixed(colours, 2, network=network), colours)


def test_a_replica_that_leaves_takes_its_momentum_and_statistics_along(digits: Dataset) -> None:
    wild = trial(digits, seed=1, learning_rate=1e200)
    well = [trial(digits, seed=0), trial(digits, seed=2)]
    first, ended, last = train(Pack((well[0], wild, well[1])), digits, dtype=torch.float64)
    assert ended.outcome == "diverged"
    for own, record in zip(well, (first, last), strict=True):
        (alone,) = train(Pack((own,)), digits, dtype=torch.float64)
        for name, values in alone.arrays.items():
            np.testing.assert_allclose(record.arrays[name], values, rtol=0, atol=1e-9)


def test_replicas_stop_where_they_converge(digits: Dataset) -> None:
    trials = [
        trial(
            digits,
            seed=i,
            labels=level,
            epochs=30,
            stop="converged",
            probes=(),
            network=CNN(channels=(8,), dense=(16,), kernel=3, pool=2),
        )
        for i, level in enumerate((0.0, 1.0))
    ]
    ends = []
    for own, record in zip(
        trials, train(Pack(tuple(trials)), digits, dtype=torch.float64), strict=True
    ):
        _, logits = plain_cnn_training(own, digits)
        training, _ = digits.split(60, 20, own.data.seed)
        labels = corrupt(training, labels=own.data.labels, seed=own.data.seed).y
        done = [bool((one.argmax(1) == labels).all()) for one in logits]
        assert (record.outcome, record.epochs) == ("converged", done.index(True) + 1)
        ends.append(record.epochs)
    assert len(set(ends)) == 2


def test_training_twice_gives_the_same_bits(digits: Dataset) -> None:
    pack = Pack(tuple(mixed(digits, 3)))
    for one, other in zip(train(pack, digits), train(pack, digits), strict=True):
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(other.arrays[name], values)


def test_critical_samples_are_searched_on_cnns_as_on_others(digits: Dataset) -> None:
    probe = CriticalProbe(
        epochs=(EPOCHS,), radii=(0.01, 0.1), train_radii=(0.05,), examples=20, max_steps=5
    )
    (record,) = train(Pack((trial(digits, probes=(probe,)),)), digits)
    small, large = record.arrays["critical.validation"][0]
    assert 0 <= small <= large <= 1
    assert large > 0, "a box of a tenth of the range holds another class for some digit"


def test_the_network_carries_no_graph_between_steps(digits: Dataset) -> None:
    own = trial(digits)
    network = build_pack(NETWORK, digits.shape, digits.n_classes, [0])
    step = make_step(network, [own.algorithm], [0])
    assert isinstance(step, AutogradStep)
    y = digits.y[:8][None]
    given = step.step(Batch(y, digits.x[:8].flatten(1)[None], y))
    assert given.shape == (1, 8)
    assert not given.requires_grad
    assert not network(digits.x[:8].flatten(1)).requires_grad


def test_a_batch_of_one_example_is_a_clear_error(digits: Dataset) -> None:
    with pytest.raises(InputError, match="batch of one example: choose a batch size"):
        train(Pack((trial(digits, batch_size=59),)), digits)


def test_a_regularizer_that_cnns_do_not_have_is_a_clear_error(digits: Dataset) -> None:
    with pytest.raises(InputError, match="dropout is there for MLPs only"):
        train(Pack((trial(digits, dropout=0.5),)), digits)


@pytest.mark.parametrize(
    "network",
    [NETWORK, CNN(channels=(5,), dense=(), kernel=5), CNN(channels=(2, 3), dense=(4, 3), crop=1)],
    ids=lambda network: network.name,
)
def test_training_counts_what_pytorch_counts(network: CNN) -> None:
    shape, classes = (3, 16, 16), 4
    own = Trial(
        data=DataFacts(fingerprint="f", train=40, validation=20),
        algorithm=Algorithm(network=network, learning_rate=0.1, batch_size=10, epochs=5),
        seed=0,
    )
    pack = build_pack(network, shape, classes, [0])
    step = make_step(pack, [own.algorithm], [0])
    with FlopCounterMode(display=False) as counter:
        y = torch.zeros(1, 10, dtype=torch.int64)
        step.step(Batch(y, torch.rand(1, 10, 768), y))
    assert flops(own, shape, classes) == 5 * 4 * counter.get_total_flops()


def test_a_pack_of_cnns_has_a_size(digits: Dataset) -> None:
    trials = [trial(digits, seed=i) for i in range(3)]
    [pack] = make_packs(trials, shape=digits.shape, classes=10)
    assert pack_bytes(pack, digits.shape, 10) > 0


def test_a_pack_is_cut_where_its_activations_grow_too_large() -> None:
    def packed(channels: int) -> int:
        network = CNN(channels=(channels,), dense=(), kernel=3)
        trials = [
            Trial(
                data=DataFacts(fingerprint="f", train=40, validation=0, seed=seed),
                algorithm=Algorithm(network=network, learning_rate=0.1, batch_size=32, epochs=1),
                seed=seed,
            )
            for seed in range(16)
        ]
        return len(make_packs(trials, shape=(28, 28), classes=4))

    assert packed(4) == 1
    assert packed(32) == 3, "a batch of one makes 10 MB"

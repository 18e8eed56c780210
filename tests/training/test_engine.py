"""A pack equals as many separate plain PyTorch runs, whatever its networks are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.reference.plain_training import plain_training

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.errors import InputError
from byheart.networks.build import build_pack
from byheart.networks.examine import examine
from byheart.networks.vmapped import SeparateNetworks, VmappedNetwork
from byheart.record import Record
from byheart.training.engine import make_step, train
from byheart.training.packs import Pack
from byheart.training.regularizers.base import Batch
from byheart.training.step import AutogradStep
from byheart.trial import (
    CNN,
    MLP,
    AccuracyProbe,
    Algorithm,
    CorrectProbe,
    CriticalProbe,
    DataFacts,
    Foreign,
    Network,
    Trial,
)

EPOCHS = 3
EVERY_EPOCH = (AccuracyProbe(epochs=tuple(range(EPOCHS + 1))),)
SMALL_MLP = MLP(hidden=(20, 12))
SMALL_CNN = CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2)
USER_NETWORKS = {
    "mlp": VmappedNetwork,
    "convnet": VmappedNetwork,
    "Residual": VmappedNetwork,
    "Averaging": VmappedNetwork,
    "Tied": VmappedNetwork,
    "Scaled": VmappedNetwork,
    "frozen": VmappedNetwork,
    "Branching": SeparateNetworks,
    "dropping": SeparateNetworks,
}


def foreign(name: str) -> Foreign:
    factory = f"tests.networks.user_networks:{name}"
    return Foreign(factory=factory, fingerprint=examine(factory, (8, 8), 10).fingerprint)


def network_of(name: str) -> Network:
    return {"MLP": SMALL_MLP, "CNN": SMALL_CNN}.get(name) or foreign(name)


EACH_KIND = pytest.mark.parametrize("kind", ["MLP", "CNN", "convnet", "dropping"])
"""By MLPStep, by grouped convolution, by vmap, and one by one with random numbers."""


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
    algorithm = {"network": SMALL_MLP, "batch_size": 16, "epochs": EPOCHS, "learning_rate": 0.05}
    facts |= {name: value for name, value in changes.items() if name in DataFacts.model_fields}
    algorithm |= {name: value for name, value in changes.items() if name in Algorithm.model_fields}
    return Trial(
        data=DataFacts(fingerprint=dataset.fingerprint, **facts),
        algorithm=Algorithm(**algorithm),
        seed=seed,
        probes=changes.get("probes", EVERY_EPOCH),
    )


def mixed(dataset: Dataset, replicas: int, **changes: object) -> list[Trial]:
    """Return trials that differ in everything that may differ within a pack."""
    return [
        trial(
            dataset,
            seed=i,
            inputs=(0.0, 1.0, 0.5)[i % 3],
            labels=(0.0, 0.3)[i % 2],
            learning_rate=(0.05, 0.02, 0.1)[i % 3],
            momentum=(0.9, 0.0, 0.5)[i % 3],
            weight_decay=(0.0, 0.01)[i % 2],
            decay_every=(None, 2)[(i // 2) % 2],
            **changes,
        )
        for i in range(replicas)
    ]


def run(trials: Sequence[Trial], dataset: Dataset) -> list[Record]:
    return train(Pack(tuple(trials)), dataset, dtype=torch.float64)


def labels_of(one: Trial, dataset: Dataset) -> torch.Tensor:
    data, _ = dataset.split(one.data.train, one.data.validation, one.data.seed)
    return corrupt(data, labels=one.data.labels, seed=one.data.seed).y


def assert_equal_to_plain_runs(trials: Sequence[Trial], dataset: Dataset) -> None:
    for one, record in zip(trials, run(trials, dataset), strict=True):
        assert record.trial == one
        model, logits = plain_training(one, dataset)
        labels = labels_of(one, dataset)
        losses = [float(torch.nn.functional.cross_entropy(z, labels)) for z in logits]
        np.testing.assert_allclose(
            record.arrays["accuracy.train_loss"][1:], losses, rtol=0, atol=1e-9
        )
        _, validation = dataset.split(60, 20, one.data.seed)
        x, network = validation.x.double(), one.algorithm.network
        if isinstance(network, Foreign):
            x = x.reshape(-1, *examine(network.factory, dataset.shape, 10).takes)
        accuracy = float((model(x).argmax(1) == validation.y).double().mean())
        assert record.arrays["accuracy.validation"][-1] == accuracy


@pytest.mark.parametrize("replicas", [1, 3, 17])
def test_a_pack_of_mlps_equals_separate_plain_runs(digits: Dataset, replicas: int) -> None:
    assert_equal_to_plain_runs(mixed(digits, replicas), digits)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_every_branch_of_the_written_out_step_equals_plain_pytorch(
    digits: Dataset, momentum: float, weight_decay: float
) -> None:
    one = trial(digits, momentum=momentum, weight_decay=weight_decay, decay_every=2)
    assert_equal_to_plain_runs([one], digits)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_pack_of_cnns_equals_separate_plain_runs(digits: Dataset, replicas: int) -> None:
    assert_equal_to_plain_runs(mixed(digits, replicas, network=SMALL_CNN), digits)


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


@pytest.mark.parametrize("name", USER_NETWORKS)
def test_a_pack_of_a_users_network_equals_separate_plain_runs(digits: Dataset, name: str) -> None:
    assert_equal_to_plain_runs(mixed(digits, 3, network=foreign(name)), digits)


@EACH_KIND
def test_training_twice_gives_the_same_bits(digits: Dataset, kind: str) -> None:
    pack = Pack(tuple(mixed(digits, 3, network=network_of(kind))))
    for first, second in zip(train(pack, digits), train(pack, digits), strict=True):
        for name, values in first.arrays.items():
            np.testing.assert_array_equal(second.arrays[name], values)


@EACH_KIND
def test_a_replica_that_diverges_ends_alone(digits: Dataset, kind: str) -> None:
    network = network_of(kind)
    well = [trial(digits, seed, momentum=0.9, network=network) for seed in (0, 2)]
    wild = trial(digits, 1, momentum=0.9, learning_rate=1e200, network=network)
    first, ended, last = run([well[0], wild, well[1]], digits)
    assert ended.outcome == "diverged"
    assert ended.arrays["accuracy.epoch"].tolist() == list(range(ended.epochs))
    for one, record in zip(well, (first, last), strict=True):
        assert (record.outcome, record.epochs) == ("budget", EPOCHS)
        (alone,) = run([one], digits)
        for name, values in alone.arrays.items():
            np.testing.assert_allclose(record.arrays[name], values, rtol=0, atol=1e-9)


def test_a_pack_whose_replicas_all_diverge_still_leaves_its_records(digits: Dataset) -> None:
    records = train(Pack((trial(digits, learning_rate=1e30, epochs=20),)), digits)
    assert [record.outcome for record in records] == ["diverged"]


@pytest.mark.parametrize(
    ("network", "rate", "epochs"),
    [(SMALL_MLP, 0.3, 40), (CNN(channels=(8,), dense=(16,), kernel=3, pool=2), 0.05, 25)],
)
def test_each_replica_stops_at_its_own_first_epoch_of_full_training_accuracy(
    digits: Dataset, network: Network, rate: float, epochs: int
) -> None:
    trials = [
        trial(
            digits, seed, labels=level, train=40, network=network, learning_rate=rate,
            momentum=0.5, epochs=epochs, stop="converged", probes=(),
        )
        for seed, level in enumerate((0.0, 1.0, 0.5))
    ]  # fmt: skip
    ends = []
    for one, record in zip(trials, run(trials, digits), strict=True):
        _, logits = plain_training(one, digits)
        done = [bool((z.argmax(1) == labels_of(one, digits)).all()) for z in logits]
        if any(done):
            assert (record.outcome, record.epochs) == ("converged", done.index(True) + 1)
        else:
            assert (record.outcome, record.epochs) == ("budget", epochs)
        ends.append(record.epochs)
    assert len(set(ends)) > 1, "the replicas were meant to end at different epochs"


def test_a_replica_leaves_at_the_first_epoch_whose_loss_is_low_enough(digits: Dataset) -> None:
    epochs, levels = 40, [(seed, level) for seed in range(2) for level in (0.0, 1.0)]
    probes = (AccuracyProbe(epochs=tuple(range(epochs + 1))),)
    curves, records = (
        run(
            [
                trial(
                    digits, seed, labels=level, learning_rate=0.3, epochs=epochs,
                    network=MLP(hidden=(16,)), probes=probes, **stop,
                )
                for seed, level in levels
            ],
            digits,
        )
        for stop in ({}, {"stop": "loss", "stop_loss": 0.2})
    )  # fmt: skip
    for curve, record in zip(curves, records, strict=True):
        low = (curve.arrays["accuracy.train_loss"] <= 0.2).nonzero()[0]
        assert record.outcome == ("converged" if len(low) else "budget")
        assert record.epochs == (low[0] if len(low) else epochs)
    assert {record.outcome for record in records} == {"converged", "budget"}


def test_a_loss_to_stop_at_goes_with_stopping_at_a_loss(digits: Dataset) -> None:
    for changes in ({"stop": "loss"}, {"stop": "budget", "stop_loss": 0.1}):
        with pytest.raises(ValidationError, match="stop_loss"):
            trial(digits, **changes)


def test_probes_agree_with_the_network_they_look_at(digits: Dataset) -> None:
    probes = (
        AccuracyProbe(epochs=(EPOCHS,)),
        CorrectProbe(epochs=(1, EPOCHS)),
        CriticalProbe(
            epochs=(1, EPOCHS), radii=(0.004, 0.04), train_radii=(0.004,), examples=20, max_steps=8
        ),
    )
    one = trial(digits, labels=0.4, probes=probes)
    (record,) = run([one], digits)
    _, logits = plain_training(one, digits)
    labels, arrays = labels_of(one, digits), record.arrays
    right = (logits[-1].argmax(1) == labels).numpy()
    bits = np.unpackbits(arrays["correct.bits"], axis=1, count=60).astype(bool)
    np.testing.assert_array_equal(bits[-1], right)
    np.testing.assert_array_equal(arrays["correct.label"], labels.numpy())
    noisy, clean = (arrays[f"accuracy.train_{part}"][0] for part in ("noisy", "clean"))
    assert 0.4 * noisy + 0.6 * clean == pytest.approx(right.mean())
    assert arrays["critical.validation"].shape == (2, 2)
    assert arrays["critical.train"].shape == (2, 1)
    assert (np.diff(arrays["critical.validation"], axis=1) >= 0).all()
    success = arrays["critical.success"]
    assert (np.diff(success, axis=0) >= 0).all()
    np.testing.assert_allclose(success[-1], arrays["critical.validation"][-1])
    assert (arrays["critical.control"] <= arrays["critical.validation"][-1]).all()


@pytest.mark.parametrize("kind", ["CNN", "convnet"])
def test_critical_samples_are_searched_in_every_network(digits: Dataset, kind: str) -> None:
    probe = CriticalProbe(epochs=(EPOCHS,), radii=(0.01, 0.3), examples=20, max_steps=4)
    (record,) = run([trial(digits, network=network_of(kind), probes=(probe,))], digits)
    small, large = record.arrays["critical.validation"][-1]
    assert 0 <= small <= large <= 1
    assert large > 0, "a box of a third of the range holds another class for some digit"


def test_progress_is_reported_once_an_epoch(digits: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    train(Pack((trial(digits),)), digits, on_epoch=lambda done, total: seen.append((done, total)))
    assert seen == [(epoch, EPOCHS) for epoch in range(1, EPOCHS + 1)]


def test_the_network_carries_no_graph_between_steps(digits: Dataset) -> None:
    network = build_pack(SMALL_CNN, digits.shape, digits.n_classes, [0])
    step = make_step(network, [trial(digits).algorithm], [0])
    assert isinstance(step, AutogradStep)
    x, y = digits.x[:8].flatten(1), digits.y[:8][None]
    given = step.step(Batch(y, x[None], y))
    assert given.shape == (1, 8)
    assert not given.requires_grad
    assert not network(x).requires_grad


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 59, "network": SMALL_CNN}, "batch of one example: choose a batch size"),
        (
            {"dropout": 0.5, "network": foreign("mlp")},
            "byheart's own networks only",
        ),
    ],
)
def test_what_a_network_cannot_train_with_is_a_clear_error(
    digits: Dataset, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(Pack((trial(digits, **changes),)), digits)


def test_a_network_that_changed_since_the_plan_is_refused() -> None:
    changed = foreign("mlp").model_copy(update={"fingerprint": "of another day"})
    with pytest.raises(InputError, match="another network than when the study was planned"):
        build_pack(changed, (8, 8), 10, [0])

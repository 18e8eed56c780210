"""Regularizers of a pack: what they compute, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.plain_training import plain_training

from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.networks.mlp import ReplicatedMLP
from byheart.training.engine import train
from byheart.training.mlp_step import MLPStep
from byheart.training.packs import Pack, make_packs
from byheart.training.regularizers import noise
from byheart.training.regularizers.adversarial import Adversarial
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer
from byheart.training.regularizers.noise import Dropout, InputDropout, InputNoise, RowNoise
from byheart.training.step import regularizers_of
from byheart.trial import CNN, MLP, AccuracyProbe, Algorithm, DataFacts, Network, Trial

EPOCHS = 2
SMALL = MLP(hidden=(12, 8))
SMALL_CNN = CNN(channels=(3,), dense=(7, 5), kernel=3, pool=2)
LIKE = torch.zeros(1, dtype=torch.float64)
ALONE = {
    "dropout": {"dropout": (0.3, 0.9, 0.5)},
    "input dropout": {"input_dropout": (0.1, 0.5, 0.9)},
    "input noise": {"input_noise": (0.2, 5.0, 1.0)},
    "hidden noise": {"hidden_noise": (0.1, 0.3, 0.03)},
    "weight decay": {"weight_decay": (0.001, 1.0, 0.1)},
    "adversarial": {"adversarial_weight": (0.2, 0.7, 1.0)},
}
TOGETHER = {name: values for one in ALONE.values() for name, values in one.items()}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def trial(
    digits: Dataset,
    seed: int = 0,
    *,
    epochs: int = EPOCHS,
    network: Network = SMALL,
    **numbers: float,
) -> Trial:
    if numbers.get("adversarial_weight"):
        numbers["adversarial_radius"] = 0.05
    return Trial(
        data=DataFacts(fingerprint=digits.fingerprint, train=50, validation=20, seed=seed),
        algorithm=Algorithm(
            network=network, learning_rate=0.1, batch_size=16, epochs=epochs, **numbers
        ),
        seed=seed,
        probes=(AccuracyProbe(epochs=(epochs,)),),
    )


def pack(
    digits: Dataset,
    strengths: dict[str, tuple[float, ...]],
    replicas: int,
    network: Network = SMALL,
) -> list[Trial]:
    return [
        trial(
            digits,
            seed,
            network=network,
            **{name: values[seed] for name, values in strengths.items()},
        )
        for seed in range(replicas)
    ]


def loss(record) -> float:
    return float(record.arrays["accuracy.train_loss"][-1])


@pytest.mark.parametrize("network", [SMALL, SMALL_CNN], ids=["MLP", "CNN"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("strengths", [*ALONE.values(), TOGETHER], ids=[*ALONE, "together"])
def test_a_regularized_pack_equals_separate_plain_runs(
    digits: Dataset, strengths: dict[str, tuple[float, ...]], replicas: int, network: Network
) -> None:
    trials = pack(digits, strengths, replicas, network)
    records = train(Pack(tuple(trials)), digits, dtype=torch.float64)
    for own, record in zip(trials, records, strict=True):
        _, logits = plain_training(own, digits)
        data, _ = digits.split(50, 20, own.data.seed)
        expected = float(torch.nn.functional.cross_entropy(logits[-1], data.y))
        assert loss(record) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("block", [1, 2**18])
def test_a_replica_does_not_depend_on_its_pack_nor_on_how_much_is_drawn_at_once(
    digits: Dataset, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = pack(digits, TOGETHER, 3)
    together = train(Pack(tuple(trials)), digits, dtype=torch.float64)
    monkeypatch.setattr(noise, "BLOCK", block)
    for own, record in zip(trials, together, strict=True):
        (alone,) = train(Pack((own,)), digits, dtype=torch.float64)
        assert loss(alone) == pytest.approx(loss(record), abs=1e-9)


def test_a_replica_trains_on_as_before_when_others_have_left(digits: Dataset) -> None:
    well = trial(digits, 0, epochs=4, dropout=0.2, hidden_noise=0.1)
    wild = trial(digits, 1, epochs=4, dropout=0.2, hidden_noise=0.1)
    wild = wild.model_copy(
        update={"algorithm": wild.algorithm.model_copy(update={"learning_rate": 1e200})}
    )
    (alone,) = train(Pack((well,)), digits, dtype=torch.float64)
    kept, ended = train(Pack((well, wild)), digits, dtype=torch.float64)
    assert ended.outcome == "diverged"
    assert loss(kept) == pytest.approx(loss(alone), abs=1e-9)


@pytest.mark.parametrize("name", ["dropout", "input_dropout", "input_noise", "hidden_noise"])
def test_strength_zero_is_no_regularizer_bit_for_bit(digits: Dataset, name: str) -> None:
    plain, some = trial(digits, 0), trial(digits, 1, **{name: 0.5})
    (alone,) = train(Pack((plain,)), digits)
    # A pack of two has other products than a pack of one: only the regularizer may differ.
    (beside, _) = train(Pack((plain, trial(digits, 1))), digits)
    (mixed, _) = train(Pack((plain, some)), digits)
    assert loss(mixed) == loss(beside) == pytest.approx(loss(alone), rel=1e-5)


def test_a_pack_has_the_regularizers_that_a_replica_has(digits: Dataset) -> None:
    network = ReplicatedMLP.initialised((64, 12, 8, 10), [0, 1])
    plain, some = trial(digits).algorithm, trial(digits, dropout=0.5, input_noise=0.1).algorithm
    assert regularizers_of(network, [plain, plain], [0, 1]) == []
    used = regularizers_of(network, [plain, some], [0, 1])
    assert [regularizer.name for regularizer in used] == ["input noise", "dropout"]
    flat = ReplicatedMLP.initialised((64, 10), [0, 1])
    assert [own.name for own in regularizers_of(flat, [plain, some], [0, 1])] == ["input noise"]


def test_other_regularizers_train_in_other_packs(digits: Dataset) -> None:
    trials = [trial(digits, 0), trial(digits, 0, weight_decay=0.1)]
    trials += [trial(digits, 0, dropout=rate) for rate in (0.1, 0.5)]
    trials += [trial(digits, 0, dropout=0.1, adversarial_weight=w) for w in (0.2, 0.7)]
    packs = make_packs(trials, shape=digits.shape, classes=10)
    assert sorted(len(one.trials) for one in packs) == [2, 2, 2]


def changed(kind: type[Regularizer], strengths: tuple[float, ...], x: torch.Tensor, **more):
    task = LearningTask((x.shape[2],), 4, hidden=100)
    made = kind(strengths, [3, 4][: len(strengths)], task, LIKE, **more)
    y = torch.zeros(x.shape[:2], dtype=torch.int64)
    return made.change(Batch(y, x, y), None)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(rate: float) -> None:
    dropped = changed(InputDropout, (rate,), torch.ones(1, 400, 100, dtype=torch.float64)).x
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 40_000) ** 0.5)
    kept = dropped[dropped > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))


def test_noise_has_the_deviation_of_each_replica() -> None:
    x = torch.zeros(2, 400, 100, dtype=torch.float64)
    drawn = changed(InputNoise, (0.5, 5.0), x).x.flatten(1)
    for own, deviation in zip(drawn, (0.5, 5.0), strict=True):
        assert float(own.mean()) == pytest.approx(0, abs=5 * deviation / 200)
        assert float(own.std()) == pytest.approx(deviation, rel=0.03)
    assert abs(float(torch.corrcoef(drawn)[0, 1])) < 0.03


def test_hidden_units_have_masks_of_their_own() -> None:
    masks = changed(Dropout, (0.5,), torch.zeros(1, 200, 3, dtype=torch.float64)).scale
    first, second = (half.flatten() for half in masks[0].chunk(2, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def rows(seed: int, purpose: str, epoch: int, *, block: int = 5) -> torch.Tensor:
    drawn = RowNoise([seed], purpose, "normal", 3, LIKE)
    drawn.start_epoch(epoch)
    return torch.cat([drawn.take(count) for count in (block, 7, 1, 13 - block)], 1)


def test_rows_depend_on_seed_epoch_and_purpose_alone() -> None:
    own = rows(1, "a", 1)
    assert torch.equal(own, rows(1, "a", 1, block=12))
    for other in (rows(2, "a", 1), rows(1, "b", 1), rows(1, "a", 2)):
        assert not bool((own == other).any())


def test_what_the_adversary_adds_lies_in_the_box_and_is_critical_where_found() -> None:
    network = ReplicatedMLP.initialised((6, 10, 4), [1, 2], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(2, 80, 6, generator=draw, dtype=torch.float64)
    y = torch.randint(4, (2, 80), generator=draw)
    task = LearningTask((6,), 4, hidden=10)
    batch = Adversarial((0.2, 0.7), [1, 2], task, LIKE, radius=0.2).change(Batch(y, x, y), network)
    clean, found = batch.x.split(80, 1)
    assert torch.equal(clean, x)
    assert torch.equal(batch.y, torch.cat((y, y), 1))
    assert float((found - x).abs().max()) <= 0.2
    critical = network(found).argmax(-1) != network(x).argmax(-1)
    assert 0.1 < float(critical.double().mean()) < 1
    torch.testing.assert_close(batch.weights.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(batch.weights[:, 80:].sum(1), torch.tensor([0.2, 0.7]).double())


def test_the_search_looks_at_the_network_without_dropout(digits: Dataset) -> None:
    seen = []

    class Watched(ReplicatedMLP):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(super().__call__(x))
            return seen[-1]

    network = Watched.initialised((64, 12, 8, 10), [0], dtype=torch.float64)
    own = trial(digits, dropout=0.5, adversarial_weight=0.5).algorithm
    x = torch.rand(1, 16, 64, dtype=torch.float64)
    before = network.select(torch.tensor([0]))
    y = torch.zeros(1, 16, dtype=torch.int64)
    with torch.no_grad():
        MLPStep(network, [own], [0]).step(Batch(y, x, y))
    torch.testing.assert_close(seen[0], ReplicatedMLP.__call__(before, x))


def test_a_weight_on_critical_samples_needs_a_radius_to_seek_them_in() -> None:
    with pytest.raises(ValueError, match="adversarial_weight needs an adversarial_radius above 0"):
        Algorithm(
            network=MLP(hidden=(4,)),
            learning_rate=0.1,
            batch_size=1,
            epochs=1,
            adversarial_weight=0.5,
        )

"""A pack of a user's module equals separate plain PyTorch runs, whichever way it trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.plain_foreign import plain_foreign_training

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset
from byheart.errors import InputError
from byheart.measures.sharpness import pack_sharpness, sharpness
from byheart.measures.training_loss import PackData
from byheart.networks.build import build_pack
from byheart.networks.examine import examine
from byheart.networks.vmapped import SeparateNetworks, VmappedNetwork
from byheart.training.cost import flops, pack_bytes
from byheart.training.engine import train
from byheart.training.packs import Pack, make_packs
from byheart.trial import AccuracyProbe, Algorithm, CriticalProbe, DataFacts, Foreign, Trial

EPOCHS = 3
SHAPE, CLASSES = (8, 8), 10
NETWORKS = {
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


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def foreign(name: str) -> Foreign:
    factory = f"tests.networks.own:{name}"
    return Foreign(factory=factory, fingerprint=examine(factory, SHAPE, CLASSES).fingerprint)


def trials(digits: Dataset, name: str, replicas: int = 3, **changes: object) -> list[Trial]:
    """Return trials that differ in everything that may differ within a pack."""
    return [
        Trial(
            data=DataFacts(
                fingerprint=digits.fingerprint,
                train=60,
                validation=20,
                seed=i,
                inputs=(0.0, 1.0, 0.5)[i % 3],
                labels=(0.0, 0.3)[i % 2],
            ),
            algorithm=Algorithm(
                network=foreign(name),
                batch_size=16,
                epochs=EPOCHS,
                learning_rate=(0.05, 0.02)[i % 2],
                momentum=(0.9, 0.0, 0.5)[i % 3],
                weight_decay=(0.0, 0.01)[i % 2],
                **changes,
            ),
            seed=i,
            probes=(AccuracyProbe(epochs=tuple(range(EPOCHS + 1))),),
        )
        for i in range(replicas)
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pack_equals_separate_plain_runs(digits: Dataset, name: str) -> None:
    takes = examine(f"tests.networks.own:{name}", SHAPE, CLASSES).takes
    own = trials(digits, name)
    records = train(Pack(tuple(own)), digits, dtype=torch.float64)
    for one, record in zip(own, records, strict=True):
        model, logits = plain_foreign_training(one, digits, takes)
        training, validation = digits.split(60, 20, one.data.seed)
        labels = corrupt(training, labels=one.data.labels, seed=one.data.seed).y
        losses = [float(torch.nn.functional.cross_entropy(z, labels)) for z in logits]
        np.testing.assert_allclose(
            record.arrays["accuracy.train_loss"][1:], losses, rtol=0, atol=1e-9
        )
        guess = model(validation.x.double().reshape(-1, *takes)).argmax(1)
        accuracy = float((guess == validation.y).double().mean())
        assert record.arrays["accuracy.validation"][-1] == accuracy


@pytest.mark.parametrize("name", ["convnet", "dropping"])
def test_a_replica_does_not_depend_on_the_pack_it_sat_in(digits: Dataset, name: str) -> None:
    own = trials(digits, name)
    together = train(Pack(tuple(own)), digits, dtype=torch.float64)
    for one, record in zip(own, together, strict=True):
        (alone,) = train(Pack((one,)), digits, dtype=torch.float64)
        for array, values in alone.arrays.items():
            np.testing.assert_allclose(record.arrays[array], values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["convnet", "dropping"])
def test_training_twice_gives_the_same_bits(digits: Dataset, name: str) -> None:
    pack = Pack(tuple(trials(digits, name)))
    for one, other in zip(train(pack, digits), train(pack, digits), strict=True):
        for array, values in one.arrays.items():
            np.testing.assert_array_equal(other.arrays[array], values)


def test_a_replica_that_diverges_ends_alone(digits: Dataset) -> None:
    well, wild = trials(digits, "dropping", 2)
    wild = Trial(
        data=wild.data,
        algorithm=wild.algorithm.model_copy(update={"learning_rate": 1e200}),
        seed=wild.seed,
        probes=wild.probes,
    )
    (alone,) = train(Pack((well,)), digits, dtype=torch.float64)
    kept, ended = train(Pack((well, wild)), digits, dtype=torch.float64)
    assert ended.outcome == "diverged"
    np.testing.assert_allclose(
        kept.arrays["accuracy.train_loss"], alone.arrays["accuracy.train_loss"], atol=1e-9
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_replica_as_a_module_computes_what_it_does_in_the_pack(name: str) -> None:
    pack = build_pack(foreign(name), SHAPE, CLASSES, [4, 5, 6], dtype=torch.float64)
    assert type(pack) is NETWORKS[name]
    x = torch.rand(7, *SHAPE, dtype=torch.float64)
    pack.training_logits(x.flatten(1).expand(3, 7, -1))
    chosen = pack.select(torch.tensor([2, 0]))
    for row, replica in enumerate((2, 0)):
        module = pack.module(replica)
        assert not module.training
        torch.testing.assert_close(pack(x.flatten(1))[replica], module(x))
        torch.testing.assert_close(chosen(x.flatten(1))[row], module(x))
        # A copy: whatever is done to it is not done to the pack.
        for parameter in module.parameters():
            parameter.data.zero_()
    assert pack.finite().all()
    assert float(pack(x.flatten(1)).abs().sum()) > 0


def test_what_is_no_longer_finite_is_named() -> None:
    pack = build_pack(foreign("convnet"), SHAPE, CLASSES, [0, 1, 2])
    pack.parameters()[0][1, 0] = float("nan")
    assert pack.finite().tolist() == [True, False, True]


def test_equal_seeds_give_equal_weights_and_others_give_others() -> None:
    before = torch.get_rng_state()
    one, two = (build_pack(foreign("mlp"), SHAPE, CLASSES, [0, 1]) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for mine, again in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(mine, again)
    weight = one.parameters()[0]
    assert not torch.equal(weight[0], weight[1])


def test_critical_samples_are_searched_in_a_users_network(digits: Dataset) -> None:
    probe = CriticalProbe(epochs=(EPOCHS,), radii=(0.01, 0.3), examples=20, max_steps=4)
    own = [
        Trial(data=one.data, algorithm=one.algorithm, seed=one.seed, probes=(probe,))
        for one in trials(digits, "convnet", 2)
    ]
    for record in train(Pack(tuple(own)), digits):
        small, large = record.arrays["critical.validation"][-1]
        assert 0 <= small <= large <= 1
        assert large > 0


@pytest.mark.parametrize("name", ["Scaled", "convnet", "Branching"])
def test_the_sharpness_of_a_pack_is_that_of_its_modules(digits: Dataset, name: str) -> None:
    pack = build_pack(foreign(name), SHAPE, CLASSES, [0, 1], dtype=torch.float64)
    x, y = digits.x[:20].double(), digits.y[:20]
    data = PackData(x.flatten(1), torch.arange(20).expand(2, -1), y.expand(2, -1))
    found = pack_sharpness(pack, data, tolerance=1e-6)
    for replica in range(2):
        alone = sharpness(pack.module(replica), x, y, tolerance=1e-6)
        assert float(found.eigenvalue[replica]) == pytest.approx(alone.eigenvalue, rel=1e-5)


def test_a_network_that_changed_since_the_plan_is_refused() -> None:
    changed = foreign("mlp").model_copy(update={"fingerprint": "of another day"})
    with pytest.raises(InputError, match="another network than when the study was planned"):
        build_pack(changed, SHAPE, CLASSES, [0])


def test_packs_and_their_cost_know_the_size_of_a_users_network(digits: Dataset) -> None:
    own = trials(digits, "convnet")
    (pack,) = make_packs(own, shape=SHAPE, classes=CLASSES)
    size = examine("tests.networks.own:convnet", SHAPE, CLASSES).size
    trained = EPOCHS * 60 * (6 * size.products - 2 * size.first_products)
    probed = (EPOCHS + 1) * 80 * 2 * size.products
    assert flops(own[0], SHAPE, CLASSES) == trained + probed
    assert pack_bytes(pack, SHAPE, CLASSES) > 4 * 3 * size.parameters

"""A rehearsal times a moment of each kind of work, and leaves everything as it was."""

from typing import Any

import pytest
import torch
from tests.studies.tiny import tiny_dataset

from byheart.data.dataset import Dataset
from byheart.training import rehearsal
from byheart.training.cost import work
from byheart.training.paces import Paces
from byheart.training.packs import Pack
from byheart.training.rehearsal import rehearse
from byheart.trial import (
    MLP,
    AccuracyProbe,
    Algorithm,
    CriticalProbe,
    DataFacts,
    Probe,
    SensitivityProbe,
    SharpnessProbe,
    Trial,
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return tiny_dataset()


def trial(dataset: Dataset, *probes: Probe, seed: int = 0, **numbers: Any) -> Trial:
    algorithm: dict[str, Any] = {"learning_rate": 0.1, "batch_size": 10, "epochs": 8} | numbers
    return Trial(
        data=DataFacts(fingerprint=dataset.fingerprint, train=40, validation=20),
        algorithm=Algorithm(network=MLP(hidden=(8, 8)), **algorithm),
        seed=seed,
        probes=probes,
    )


def paces(dataset: Dataset, *probes: Probe, replicas: int = 5, **numbers: Any) -> Paces:
    pack = Pack(tuple(trial(dataset, *probes, seed=i, **numbers) for i in range(replicas)))
    records = rehearse(pack, dataset)
    assert [record.trial for record in records] == list(pack.trials)
    return Paces.from_record(records[0])


@pytest.mark.parametrize("stop", [{}, {"stop": "converged"}, {"stop": "loss", "stop_loss": 1e-9}])
def test_an_epoch_takes_some_time_and_some_more_for_each_replica(
    dataset: Dataset, stop: dict[str, object]
) -> None:
    found = paces(dataset, **stop)
    assert found.start > 0
    assert found.epoch + found.replica > 0
    assert min(found.epoch, found.replica) >= 0
    assert found.kinds == {}


def test_a_single_replica_has_an_epoch_of_its_own(dataset: Dataset) -> None:
    found = paces(dataset, replicas=1)
    assert found.epoch == 0
    assert found.replica > 0


def test_every_kind_of_work_has_a_pace_of_its_own(dataset: Dataset) -> None:
    probes = (
        AccuracyProbe(epochs=(0, 8)),
        CriticalProbe(
            epochs=(4, 8), radii=(0.01, 0.1), examples=20, max_steps=9,
            certify_epochs=(8,), certify_radii=(0.1,), certify_examples=5,
        ),
        SharpnessProbe(max_iterations=20, online_iterations=10),
    )  # fmt: skip
    found = paces(dataset, *probes)
    counted = work(trial(dataset, *probes), dataset.shape, dataset.n_classes)
    assert set(found.kinds) == set(counted) - {"training"}
    assert all(pace >= 0 for pace in found.kinds.values())
    assert found.kinds["search"] > 0
    assert found.kinds["forward"] > 0


def test_a_sweep_is_timed_whole(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the updates take c0 + 2 c1: the line through both gives the time of all."""
    lengths: list[int] = []

    def seconds(shorter: Trial, *_: object) -> float:
        probe = shorter.probes[0]
        assert isinstance(probe, SensitivityProbe)
        lengths.append(probe.evaluate_at[-1])
        assert len(probe.evaluate_at) == 2
        assert set(probe.per_class_at) <= set(probe.evaluate_at)
        assert shorter.algorithm.epochs * 4 >= probe.evaluate_at[-1]
        return 3.0 + 0.5 * probe.evaluate_at[-1]

    monkeypatch.setattr(rehearsal, "_seconds_of", seconds)
    sweep = SensitivityProbe(evaluate_at=(16, 32), per_class_at=(32,))
    found = paces(dataset, sweep, replicas=1)
    assert lengths == [2, 4]
    counted = work(trial(dataset, sweep), dataset.shape, dataset.n_classes)
    assert found.kinds["sweep"] * counted["sweep"] == pytest.approx(3.0 + 0.5 * 32)
    assert found.epoch == found.replica == found.start == 0


def test_a_real_sweep_has_a_pace(dataset: Dataset) -> None:
    found = paces(dataset, SensitivityProbe(evaluate_at=(16, 32)), replicas=1)
    assert found.kinds["sweep"] > 0


def test_random_numbers_are_left_as_they_were(dataset: Dataset) -> None:
    before = torch.get_rng_state()
    paces(dataset, AccuracyProbe(epochs=(0,)), dropout=0.5)
    assert torch.equal(before, torch.get_rng_state())

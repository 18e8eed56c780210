"""Trials whose whole training is differentiated: what they record, and how they end."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from byheart import gini, load_dataset, loss_sensitivity
from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset, split_indices
from byheart.errors import InputError
from byheart.networks.mlp import ReplicatedMLP
from byheart.record import Record
from byheart.seeds import generator
from byheart.training import sensitivity
from byheart.training.cost import flops, pack_bytes
from byheart.training.engine import train
from byheart.training.packs import Pack, make_packs
from byheart.trial import (
    CNN,
    MLP,
    AccuracyProbe,
    Algorithm,
    DataFacts,
    Network,
    Probe,
    SensitivityProbe,
    Trial,
)

TRAIN, BATCH, EPOCHS = 30, 8, 3
PROBE = SensitivityProbe(evaluate_at=(0, 2, 5, 12), per_class_at=(5, 12))
SMALL_CNN = CNN(channels=(2,), dense=(4,), kernel=3, pool=2)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def trial(
    digits: Dataset,
    *,
    seed: int = 0,
    network: Network | None = None,
    probes: tuple[Probe, ...] = (PROBE,),
    data: dict[str, object] | None = None,
    **algorithm: object,
) -> Trial:
    facts = {"train": TRAIN, "validation": 0, "seed": seed, **(data or {})}
    settings = {"learning_rate": 0.2, "batch_size": BATCH, "epochs": EPOCHS, **algorithm}
    return Trial(
        data=DataFacts(fingerprint=digits.fingerprint, **facts),
        algorithm=Algorithm(network=network or MLP(hidden=(6, 5)), **settings),
        seed=seed,
        probes=probes,
    )


def only(digits: Dataset, one: Trial, **options: object) -> Record:
    [record] = train(Pack((one,)), digits, **options)
    return record


def test_a_trial_records_what_loss_sensitivity_returns(digits: Dataset) -> None:
    one = trial(digits, seed=3, data={"inputs": 1.0})
    found = only(digits, one, dtype=torch.float64).arrays
    rows, _ = split_indices(digits.y, digits.n_classes, TRAIN, 0, 3)
    noisy = corrupt(digits.subset(rows), inputs=1.0, seed=3)
    rng = generator("shuffle", 3, TRAIN)
    batches = [
        b for _ in range(EPOCHS) for b in torch.split(torch.tensor(rng.permutation(TRAIN)), BATCH)
    ]
    model = ReplicatedMLP.initialised((64, 6, 5, 10), [3], dtype=torch.float64).module(0)
    for i, norm in enumerate((1, 2, math.inf)):
        each = loss_sensitivity(
            model,
            noisy.x.double(),
            noisy.y,
            batches=batches,
            learning_rate=0.2,
            evaluate_at=PROBE.evaluate_at,
            norm=norm,
        )
        np.testing.assert_allclose(found["sensitivity.mean"][i], each.mean(0), rtol=1e-6)
        so_far = [gini(each[: e + 1].mean(0)) for e in range(4)]
        np.testing.assert_allclose(found["sensitivity.gini"][:, i], so_far, rtol=1e-6)
    assert found["sensitivity.update"].tolist() == [0, 2, 5, 12]
    assert found["sensitivity.per_class"].shape == (10, 10)
    assert found["sensitivity.overflow_at"] == -1


def test_it_is_the_training_of_the_engine(digits: Dataset) -> None:
    plain = trial(digits, seed=1, probes=(AccuracyProbe(epochs=(0, EPOCHS)),))
    expected = only(digits, plain, dtype=torch.float64).arrays
    found = only(digits, trial(digits, seed=1), dtype=torch.float64).arrays
    ends = [0, 3]
    np.testing.assert_allclose(
        found["sensitivity.loss"][ends], expected["accuracy.train_loss"], rtol=1e-9
    )
    np.testing.assert_allclose(found["sensitivity.accuracy"][ends], expected["accuracy.train"])


def test_trials_of_a_pack_do_not_touch_each_other(digits: Dataset) -> None:
    trials = tuple(trial(digits, seed=seed) for seed in (0, 1))
    together = train(Pack(trials), digits)
    for record, one in zip(together, trials, strict=True):
        alone = only(digits, one).arrays
        assert record.outcome == "budget"
        assert record.epochs == EPOCHS
        for name, values in record.arrays.items():
            np.testing.assert_allclose(values, alone[name], rtol=1e-4)


def test_such_trials_make_packs_of_one(digits: Dataset) -> None:
    trials = [trial(digits, seed=seed) for seed in range(3)]
    packs = make_packs(trials, shape=digits.shape, classes=10)
    assert [len(pack.trials) for pack in packs] == [1, 1, 1]


def test_any_network_goes_through_autograd(digits: Dataset) -> None:
    probe = SensitivityProbe(evaluate_at=(2,))
    found = only(digits, trial(digits, network=SMALL_CNN, probes=(probe,))).arrays
    assert np.isfinite(found["sensitivity.mean"]).all()
    assert (found["sensitivity.mean"] > 0).any()


def test_unique_labels_have_an_output_each(digits: Dataset) -> None:
    one = trial(digits, data={"unique_labels": True}, probes=(SensitivityProbe(evaluate_at=(4,)),))
    found = only(digits, one)
    assert found.outcome == "budget"
    assert found.arrays["sensitivity.mean"].shape == (3, TRAIN)


def test_more_labels_than_outputs_are_one_clear_error(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFacts, "outputs", lambda self, classes: classes)
    one = trial(digits, data={"unique_labels": True}, probes=(SensitivityProbe(evaluate_at=(4,)),))
    with pytest.raises(
        InputError, match="label 29, but the network 10 outputs: give it 30 or more"
    ):
        only(digits, one)


def test_a_training_that_diverges_is_a_record_of_it(digits: Dataset) -> None:
    record = only(digits, trial(digits, learning_rate=1e30))
    assert record.outcome == "diverged"
    assert 1 <= record.epochs <= EPOCHS
    assert record.arrays == {}


def test_a_derivative_that_overflows_is_recorded_up_to_there(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same adjoints, made too large for float32 from the third time on."""
    whole = sensitivity.sensitivity_profile

    def overflowing(*args: object, **options: object) -> object:
        found = whole(*args, **options)
        found.norms[:, 2:, 0] = math.inf
        return found

    before = only(digits, trial(digits)).arrays
    monkeypatch.setattr(sensitivity, "sensitivity_profile", overflowing)
    record = only(digits, trial(digits))
    found = record.arrays
    assert record.outcome == "budget"
    assert found["sensitivity.overflow_at"] == 5
    np.testing.assert_array_equal(found["sensitivity.gini"][:2], before["sensitivity.gini"][:2])
    assert np.isnan(found["sensitivity.gini"][2:]).all()
    assert np.isfinite(found["sensitivity.mean"]).all()
    assert np.isnan(found["sensitivity.per_class"]).all()


def test_real_overflow_is_an_outcome_not_an_exception(digits: Dataset) -> None:
    """Logistic regression on four grey squares and random labels, with steps far too long."""
    probe = SensitivityProbe(evaluate_at=(4, 500))
    one = trial(
        digits,
        network=MLP(hidden=()),
        probes=(probe,),
        epochs=84,
        batch_size=10,
        learning_rate=50.0,
        data={"train": 60, "labels": 1.0, "downsample": 4},
    )
    record = only(digits, one)
    assert record.outcome == "budget"
    assert record.arrays["sensitivity.overflow_at"] == 500
    assert np.isfinite(record.arrays["sensitivity.gini"][0]).all()
    assert np.isfinite(record.arrays["sensitivity.loss"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 0.9}, "that of plain SGD: leave out momentum"),
        ({"weight_decay": 0.1, "dropout": 0.5}, "leave out weight_decay, dropout"),
        ({"decay_every": 2}, "leave out decay_every"),
        ({"stop": "converged"}, "leave out stop"),
        ({"epochs": 2}, "goes to update 12, but 2 epochs have 8: give more epochs"),
        ({"probes": (PROBE, AccuracyProbe(epochs=(1,)))}, "stands alone: measure accuracy in"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(
    digits: Dataset, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        only(digits, trial(digits, **changes))


@pytest.mark.parametrize(
    "times", [{"evaluate_at": (3, 2)}, {"evaluate_at": (-1,)}, {"evaluate_at": ()},
              {"evaluate_at": (1,), "per_class_at": (2,)}],
)  # fmt: skip
def test_times_out_of_order_are_no_probe(times: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValidationError):
        SensitivityProbe(**times)


def test_progress_grows_to_the_budget(digits: Dataset) -> None:
    told: list[tuple[int, int]] = []
    train(
        Pack((trial(digits), trial(digits, seed=1))),
        digits,
        on_epoch=lambda done, total: told.append((done, total)),
    )
    assert told == sorted(told)
    assert told[-1] == (EPOCHS, EPOCHS)


def test_later_times_and_classes_cost_more(digits: Dataset) -> None:
    def cost(probe: SensitivityProbe) -> tuple[float, int]:
        one = trial(digits, probes=(probe,))
        return flops(one, digits.shape, 10), pack_bytes(Pack((one,)), digits.shape, 10)

    early, late, by_class = (
        cost(SensitivityProbe(evaluate_at=(t,), per_class_at=classes))
        for t, classes in ((4, ()), (12, ()), (12, (12,)))
    )
    assert early[0] < late[0] < by_class[0] / 5
    assert late[1] < by_class[1]


def test_operations_of_an_update_are_those_of_its_products(digits: Dataset) -> None:
    """An adjoint more, born at update 4: 12 W - 4 W_1 an update and example, 6 W at birth."""
    first, weights = 64 * 6, 64 * 6 + 6 * 5 + 5 * 10
    few, more = (
        flops(trial(digits, probes=(SensitivityProbe(evaluate_at=at),)), digits.shape, 10)
        for at in ((8, 12), (4, 8, 12))
    )
    batch = TRAIN / 4
    assert more - few == pytest.approx(4 * batch * (12 * weights - 4 * first) + TRAIN * 6 * weights)

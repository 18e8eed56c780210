"""The audit of a user's network and data, from one call to the table."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.auditing.networks import normed, same, small
from tests.auditing.trainings import tracked
from torch import nn

import byheart
from byheart.errors import InputError


@pytest.fixture(scope="module")
def noisy() -> byheart.Dataset:
    return byheart.corrupt(byheart.load_dataset("digits", size=400), labels=0.2, seed=1)


@pytest.fixture(scope="module")
def audited(noisy: byheart.Dataset) -> byheart.Audit:
    return byheart.audit(small, noisy, epochs=15, seeds=3, learning_rate=0.1)


def test_wrong_labels_are_the_most_suspect(audited: byheart.Audit, noisy: byheart.Dataset) -> None:
    wrong = (noisy.y != noisy.clean_y).numpy()
    assert roc_auc_score(wrong, audited.table["suspicion"]) > 0.95
    found = audited.table["suggested"].to_numpy()[wrong] == noisy.clean_y.numpy()[wrong]
    assert found.mean() > 0.7


def test_the_table_has_a_row_for_every_example_by_id(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    assert audited.table.index.name == "id"
    assert audited.table.index.tolist() == list(range(400))
    np.testing.assert_array_equal(audited.table["label"], noisy.y)
    assert audited.table["suspicion"].notna().all()


def test_the_same_audit_gives_the_same_table(
    audited: byheart.Audit, noisy: byheart.Dataset
) -> None:
    again = byheart.audit(
        "tests.auditing.networks:small", noisy, epochs=15, seeds=3, learning_rate=0.1
    )
    assert again.table.equals(audited.table)
    assert again.onset is not None
    assert again.onset.epoch == audited.onset.epoch


def test_another_seed_gives_another_table(audited: byheart.Audit, noisy: byheart.Dataset) -> None:
    again = byheart.audit(small, noisy, epochs=15, seeds=3, learning_rate=0.1, seed=1)
    assert not again.table.equals(audited.table)


def test_a_network_with_batch_norm_trains_though_one_example_is_left_over(
    noisy: byheart.Dataset,
) -> None:
    # 361 are trained on: eleven batches of 32 leave 9 over, and batches of 40 leave one.
    found = byheart.audit(normed, noisy.subset(range(401 - 1)), epochs=2, seeds=2, batch_size=40)
    assert found.table["suspicion"].notna().all()


def test_trackers_give_an_audit_of_a_users_own_training() -> None:
    (one, history), (two, _) = tracked(0), tracked(1)
    both = byheart.Audit.from_tracker([one, two], window=3)
    assert both.seeds == 2
    assert both.onset is None
    np.testing.assert_allclose(
        both.table["suspicion"][1:],
        -np.nanmean([t.scores(stop=3)["aum"][1:] for t in (one, two)], axis=0),
        rtol=1e-5,
    )
    assert byheart.Audit.from_tracker(one).table.equals(byheart.Audit.from_tracker(history).table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"seeds": 1}, "seeds must be a whole number of 2 or more, got 1"),
        ({"device": "abacus"}, "unknown device 'abacus'"),
        ({"learning_rate": 1e30}, "training diverged in epoch 1.*lower it"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
    ],
)
def test_an_argument_that_cannot_be_is_one_line(
    noisy: byheart.Dataset, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        byheart.audit(small, noisy, **{"epochs": 2, "seeds": 2, **arguments})


def test_a_factory_that_returns_the_same_object_twice_is_named(noisy: byheart.Dataset) -> None:
    with pytest.raises(InputError, match=r"model_factory tests\.auditing\.networks\.same: two"):
        byheart.audit(same, noisy)


def test_what_is_no_factory_is_named(noisy: byheart.Dataset) -> None:
    with pytest.raises(InputError, match="model_factory is a Sequential"):
        byheart.audit(small(), noisy)


def test_a_network_of_other_inputs_is_named(noisy: byheart.Dataset) -> None:
    with pytest.raises(InputError, match=r"does not take \[N, 8, 8\]"):
        byheart.audit(lambda: nn.Linear(5, 10), noisy)


def test_the_function_stays_a_function_whatever_is_imported_first() -> None:
    program = (
        "import byheart.auditing.audit, byheart.auditing.scores, byheart\n"
        "from byheart import audit\n"
        "assert callable(byheart.audit) and audit is byheart.audit\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

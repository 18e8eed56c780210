"""A summary tells one trial in a line."""

import pytest
from tests.store.examples import a_record, a_trial

from byheart.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        store.add([a_record(a_trial(seed)) for seed in range(3)])
        store.add([a_record(a_trial(3), "failed", reason="killed")])
        yield store


def test_a_summary_says_what_was_trained_and_how_it_ended(store):
    rows = store.list()
    assert [row.key for row in rows] == [a_trial(seed).key for seed in range(4)]
    assert rows[1].facts["algorithm"]["network"]["hidden"] == [8]
    assert (rows[1].outcome, rows[1].epochs, rows[1].seconds, rows[1].arrays) == (
        "budget", 3, 1.1, 4
    )  # fmt: skip
    assert rows[1].size == 16 + 16 + 24 + 6
    assert (rows[3].outcome, rows[3].reason, rows[3].arrays, rows[3].size) == (
        "failed", "killed", 0, 0
    )  # fmt: skip

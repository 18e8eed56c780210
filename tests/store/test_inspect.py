"""A summary tells one trial in a line."""

from tests.store.examples import a_trial


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

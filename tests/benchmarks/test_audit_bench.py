"""The logic of the audit benchmark, on histories and rows that are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.audit import __main__ as bench
from benchmarks.audit.audits import affordable
from benchmarks.audit.cases import PARTS, VERSIONS, Case, all_cases, collected, keep, missing
from benchmarks.audit.metrics import missed
from benchmarks.audit.peers import (
    cleanlab_scores,
    dynamics_scores,
    forgotten_after,
    out_of_fold,
    second_split,
)
from benchmarks.audit.summary import OURS, against_cleanlab, coverage, lines, stopped
from torch import nn

from byheart.data.dataset import Dataset
from byheart.training.recipe import Recipe

CASE = Case("ours", "digits", 0.2, False, 3)


def linear() -> nn.Module:
    return nn.Linear(4, 2)


@pytest.fixture
def blobs() -> Dataset:
    """Two classes that a line tells apart, and ten wrong labels among a hundred."""
    rng = np.random.default_rng(0)
    clean = np.arange(100) % 2
    y = np.where(np.arange(100) % 10 == 0, 1 - clean, clean)
    x = 0.5 + 0.3 * (2 * clean[:, None] - 1) + 0.05 * rng.standard_normal((100, 4))
    return Dataset.from_arrays("blobs", torch.tensor(x, dtype=torch.float32), torch.tensor(y))


RECIPE = Recipe(
    epochs=4, learning_rate=0.5, momentum=0.0, batch_size=10, schedule="constant", device="cpu"
)


def test_an_example_is_forgotten_after_the_last_epoch_that_had_it_right() -> None:
    correct = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    assert forgotten_after(correct).tolist() == [3, 1, 0, 2, 3]


def test_second_split_forgets_wrong_labels_first(blobs: Dataset) -> None:
    scores, fitted = second_split(linear, blobs, RECIPE, splits=2, seed=0)
    wrong = np.arange(100) % 10 == 0
    assert scores[wrong].min() > scores[~wrong].max()
    # A line never fits the wrong labels, so that the first half took all that it may.
    assert fitted == pytest.approx(0.9)


def test_every_example_has_its_turns_in_a_first_half(blobs: Dataset) -> None:
    """Two thirds of 8 half epochs go to the first half: 3 are left to be right in."""
    scores, _ = second_split(linear, blobs, RECIPE, splits=3, seed=1)
    assert scores[np.arange(100) % 10 != 0].tolist() == [-3.0] * 90


def test_a_first_half_that_is_fitted_leaves_its_epochs_to_the_second(blobs: Dataset) -> None:
    clean = Dataset.from_arrays("clean", blobs.x, torch.arange(100) % 2)
    scores, fitted = second_split(linear, clean, RECIPE, splits=1, seed=0)
    assert fitted == 1
    assert scores.min() < -3


def test_an_example_is_scored_by_the_network_that_did_not_train_on_it(blobs: Dataset) -> None:
    """Each example is a class of its own kind of input: only who trained on it knows its label."""
    x = torch.eye(100)
    unique = Dataset.from_arrays("unique", x, blobs.y)
    found = out_of_fold(
        lambda: nn.Linear(100, 2),
        unique,
        Recipe(
            epochs=40,
            learning_rate=5.0,
            momentum=0.0,
            batch_size=10,
            schedule="constant",
            device="cpu",
        ),
        0,
    )
    assert found.shape == (40, 100, 2)
    assert found.sum(2) == pytest.approx(1)
    own = found[-1, np.arange(100), blobs.y.numpy()]
    assert own.max() < 0.9


def test_cleanlabs_scores_are_its_formulas() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    found = cleanlab_scores(p, np.array([0, 2, 1]))
    assert found["self-confidence"] == pytest.approx([-0.7, -0.3, -0.1])
    # (p_y - max_{k != y} p_k + 1) / 2, turned round.
    assert found["normalized margin"] == pytest.approx([-0.75, -0.4, -0.15])


def test_an_example_that_was_never_learned_counts_as_forgotten_most(blobs: Dataset) -> None:
    found = dynamics_scores(linear, blobs, RECIPE, 2, 0)["forgetting"]
    wrong = np.arange(100) % 10 == 0
    assert found[wrong].min() > found[~wrong].max()


@pytest.mark.parametrize(
    ("scores", "share"),
    [([4, 3, 2, 1], 0.0), ([1, 2, 3, 4], 1.0), ([4, 1, 3, 2], 0.5), ([1, 1, 1, 1], 0.5)],
)
def test_missed_is_what_the_first_places_leave_out(scores: list[float], share: float) -> None:
    wrong = np.array([True, True, False, False])
    assert missed(wrong, np.array(scores, float)) == share


def test_equal_scores_in_the_last_place_are_drawn_among() -> None:
    """One of two wrong labels is first; the other shares the second place with three right ones."""
    wrong = np.array([True, True, False, False, False])
    assert missed(wrong, np.array([9.0, 5, 5, 5, 5])) == pytest.approx(1 - (1 + 1 / 4) / 2)


def test_a_run_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    some, done = all_cases()[:4], []

    def measure(case: Case) -> dict[str, Any]:
        done.append(case)
        if len(done) == 3:
            raise KeyboardInterrupt
        return {"seed": case.seed}

    monkeypatch.setitem(bench.MEASURES, "ours", measure)
    with pytest.raises(KeyboardInterrupt):
        bench.run(some, tmp_path)
    assert [row["rate"] for row in collected(some, tmp_path)] == [case.rate for case in some[:2]]
    bench.run(some, tmp_path)
    assert done == [*some[:3], *some[2:]]
    assert not list(missing(some, tmp_path))


def test_a_row_of_an_older_version_is_measured_again(tmp_path: Path, monkeypatch: Any) -> None:
    keep(CASE, {"auroc": 0.9}, tmp_path)
    assert not list(missing([CASE], tmp_path))
    monkeypatch.setitem(VERSIONS, "ours", VERSIONS["ours"] + 1)
    assert list(missing([CASE], tmp_path)) == [CASE]
    assert collected([CASE], tmp_path) == []


def test_a_row_is_what_was_measured_to_seven_digits(tmp_path: Path) -> None:
    row = keep(CASE, {"a": [0.123456789, {"b": (1, None)}]}, tmp_path)
    assert row["found"] == {"a": [0.1234568, {"b": [1, None]}]}
    assert collected([CASE], tmp_path) == [json.loads(json.dumps(row))]


def test_no_two_cases_share_a_file() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert {case.part for case in all_cases()} == set(PARTS) == set(VERSIONS) == set(bench.MEASURES)


def metrics(area: float) -> dict[str, float]:
    return {"auroc": area, "average_precision": area, "missed": 1 - area}


@pytest.fixture
def ranked() -> list[dict[str, Any]]:
    """Three data sets: AUM is 0.01 behind, cleanlab best in its second epoch."""
    rows = []
    for seed, area in enumerate((0.94, 0.95, 0.96)):
        curve = {"auroc": [0.5, area - 0.05, 0.6], "average_precision": [0.1, 0.3, 0.2]}
        parts: dict[str, Any] = {
            "ours": {"rankings": {OURS: metrics(area)}},
            "dynamics": {"rankings": {"AUM": metrics(area - 0.01)}},
            "folds": {"cleanlab": {"self-confidence": curve | {"missed": [0.5, 0.4, 0.3]}}},
            "halves": {"rankings": {"second-split forgetting": metrics(0.9)}},
        }
        own = {"source": "digits", "momentum": 0.9, "rate": 0.4, "pairs": False, "seed": seed}
        rows += [own | {"part": part, "found": found} for part, found in parts.items()]
    return rows


def test_differences_are_paired_by_data_set(ranked: list[dict[str, Any]]) -> None:
    """Areas differ by 0.02 between data sets, and by 0.01 exactly between rankings."""
    found = {line.ranking: line for line in lines(ranked)}
    assert found[OURS].ahead is None
    assert found["AUM"].ahead is not None
    for metric in ("auroc", "average_precision", "missed"):
        ahead = found["AUM"].ahead[metric]
        assert (ahead.value, ahead.low, ahead.high) == pytest.approx((0.01, 0.01, 0.01))


def test_one_data_set_decides_nothing(ranked: list[dict[str, Any]]) -> None:
    for line in lines(ranked[:4]):
        if line.ahead is not None:
            assert not line.ahead["auroc"].low > 0
            assert not line.ahead["auroc"].high < 0


def test_cleanlab_is_taken_at_its_best_epoch_metric_by_metric(ranked: list[dict[str, Any]]) -> None:
    found = {line.ranking: line for line in lines(ranked)}
    best, last = (found[f"cleanlab self-confidence, {which} epoch"] for which in ("best", "last"))
    assert best.means["auroc"].value == pytest.approx(0.90)
    assert best.means["missed"].value == 0.3
    assert last.means["auroc"].value == 0.6
    assert last.means["missed"].value == 0.3
    ratio = against_cleanlab(ranked)["digits", 0.9, 0.4, False]
    each = [(1 - a) / (1.05 - a) for a in (0.94, 0.95, 0.96)]
    assert ratio.value == pytest.approx(np.exp(np.mean(np.log(each))))
    assert ratio.low < ratio.value < ratio.high


def test_a_data_set_that_one_part_has_not_measured_yet_is_left_out(
    ranked: list[dict[str, Any]],
) -> None:
    assert {line.seeds for line in lines(ranked[:-1])} == {2}
    assert lines([row for row in ranked if row["part"] != "folds"]) == []


def test_every_review_of_every_audit_counts() -> None:
    def stated(true: float) -> dict[str, Any]:
        return {"precision": {"true": true, "said": 0.8, "low": 0.7, "high": 0.9}}

    parts = ((0.75, 0.95), (0.7,))
    rows = [{"found": {"draws": [stated(true) for true in part]}} for part in parts]
    found = coverage(rows, "precision")
    assert found is not None
    assert (found.hits, found.audits) == (2, 3)
    assert coverage([], "precision") is None


def test_what_stopping_cost_is_counted_in_points() -> None:
    """The onset is the second epoch; the halves are best in the first and in the third."""
    found = {"epoch": 2, "low": 2, "high": 3}
    found |= {"first half": [0.9, 0.8, 0.8, 0.5], "second half": [0.7, 0.8, 0.9, 0.5]}
    row = {"part": "onset", "source": "digits", "rate": 0.2, "found": found}
    (one,) = stopped([row])
    assert one.lost.value == pytest.approx(5)
    # Best by the first half: 0.7 against 0.8 on the second; by the second: 0.8 against 0.8.
    assert one.unbiased.value == pytest.approx(-5)
    assert one.gained.value == pytest.approx(30)
    assert (one.inside, one.seeds) == (1, 1)


def test_the_audit_spends_no_more_than_its_peers() -> None:
    """An epoch trains on 90% of the examples, and looks at the others for a third of the cost."""
    assert affordable(30) == 32
    assert 32 * (0.9 + 0.1 / 3) <= 30

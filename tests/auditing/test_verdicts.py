"""Verdicts on examples made on purpose, near-duplicates and isolated examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.auditing.networks import small

import byheart
from byheart.auditing import verdicts as module
from byheart.auditing.verdicts import Support, evidence, find_neighbours, kinds_of_doubt, verdicts

NONE = np.zeros(5, bool)


def of(
    suspicion: list[float],
    label: list[float],
    suggested: list[float],
    *,
    flagged: list[int] = (),
    isolated: list[int] = (),
    of_class: int = 5,
    p_wrong: float | None = None,
) -> list[str]:
    """Return the verdicts on examples whose class has so many examples."""
    n = len(label)
    suspicion, label, suggested = (
        list(part) + [0.0] * (of_class - n) for part in (suspicion, label, suggested)
    )
    on, alone = np.zeros(len(label), bool), np.zeros(len(label), bool)
    on[list(flagged)], alone[list(isolated)] = True, True
    found = Support(np.array(label), np.array(suggested), np.zeros(len(label), np.int64))
    doubt = kinds_of_doubt(np.array(suspicion), np.zeros(len(label), np.int64), alone, found)
    chance = np.full(len(label), np.nan if p_wrong is None else p_wrong)
    return verdicts(doubt, np.array(suspicion), on, chance).tolist()[:n]


def test_each_rule_gives_its_verdict() -> None:
    kinds = of(
        [-2.0, 3.0, 0.2, 0.5, np.nan],
        [0.8, 0.05, 0.4, 0.1, 0.0],
        [0.1, 0.80, 0.4, 0.2, 0.0],
    )
    assert kinds == ["typical", "ambiguous", "ambiguous", "rare", ""]
    # A flagged example is never typical; an isolated one needs a surer suggestion.
    assert of([-0.1], [0.5], [0.3], flagged=[0]) == ["ambiguous"]
    both = {"flagged": [0, 1], "isolated": [0, 1]}
    assert of([2.0, 2.0], [0.05, 0.05], [0.4, 0.6], **both) == ["rare", "mislabelled"]


def test_no_example_is_mislabelled_unless_flagged_or_if_its_class_is_tiny() -> None:
    assert of([3.0], [0.05], [0.8], flagged=[0]) == ["mislabelled"]
    assert of([3.0], [0.05], [0.8]) == ["ambiguous"]
    assert of([3.0], [0.05], [0.8], flagged=[0], of_class=4) == ["rare"]


def test_verdicts_agree_with_what_reviews_say() -> None:
    assert of([3.0], [0.05], [0.8], flagged=[0], p_wrong=0.9) == ["mislabelled"]
    assert of([3.0], [0.05], [0.8], flagged=[0], p_wrong=0.1) == ["ambiguous"]
    assert of([-1.0], [0.9], [0.05], p_wrong=0.1) == ["typical"]
    assert of([-1.0], [0.9], [0.05], p_wrong=0.6) == ["ambiguous"]


def test_the_evidence_names_both_labels_and_the_twin() -> None:
    words = evidence(
        np.array([True, False, False]),
        np.array([1, 0, 0]),
        Support(np.array([0.02, 0.9, 0.9]), np.array([0.8, 0.1, 0.1]), np.array([0, 1, 1])),
        np.array([False, False, False]),
        np.array([2, -1, 0]),
        ("cat", "dog"),
    )
    assert words[0] == (
        "before memorization: P('cat') = 80%, P('dog') = 2%; near-duplicate of 2, which is "
        "labelled 'cat'"
    )
    assert words[1] == ""
    assert words[2] == "near-duplicate of 0, which is labelled 'dog'"


def of_every_kind() -> tuple[byheart.Dataset, np.ndarray]:
    """Return digits of which 6% are relabelled, 2% inverted, and 2% blends of two classes."""
    data, rng = byheart.load_dataset("digits"), np.random.default_rng(0)
    x, y, order = data.x.clone(), data.y.clone(), rng.permutation(len(data))
    kinds = np.full(len(data), "typical", object)
    wrong, rare, blends = order[:108], order[108:144], order[144:180]
    y[wrong] = (y[wrong] + torch.from_numpy(rng.integers(1, 10, 108))) % 10
    x[rare] = 1 - x[rare]
    for i in blends.tolist():
        other = rng.choice(np.flatnonzero((data.y != data.y[i]).numpy()))
        x[i] = (data.x[i] + data.x[other]) / 2
    for name, ids in (("mislabelled", wrong), ("rare", rare), ("ambiguous", blends)):
        kinds[ids] = name
    return replace(data, x=x, y=y), kinds


@pytest.mark.slow
def test_examples_of_every_kind_mostly_get_their_verdict() -> None:
    data, kinds = of_every_kind()
    recipe = byheart.Recipe("sgd", 0.1, "constant", epochs=25, momentum=0.0)
    table = byheart.audit(small, data, recipe=recipe).table
    # The list is short without reviews: the verdicts that doubtful examples would have on it.
    said = np.where(table["suspicion"] > 0, table["doubt"], table["verdict"])
    right = {kind: np.mean(said[kinds == kind] == kind) for kind in set(kinds)}
    assert right["mislabelled"] > 0.8
    assert right["rare"] > 0.8
    assert right["typical"] > 0.9
    # Half of all blends look like the class that they are labelled as.
    doubtful = (kinds == "ambiguous") & (said != "typical")
    assert np.mean(said[doubtful] == "ambiguous") > 0.6


LABELS = 4


def points(n: int = 200) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.random((n, 3, 2), dtype=np.float32)), rng.integers(0, LABELS, n)


def test_the_same_input_with_another_label_is_found_though_nobody_doubts_it() -> None:
    x, y = points()
    x[[20, 30]], y[[10, 20, 30]] = x[10].clone(), [1, 2, 1]
    x[50], y[50] = x[40].clone(), y[40]
    conflicts = find_neighbours(x, y, np.array([], np.int64)).conflicts
    assert conflicts[[10, 20, 30]].tolist() == [20, 10, 20]
    assert (np.delete(conflicts, [10, 20, 30]) == -1).all()


def test_a_near_duplicate_of_a_doubtful_example_is_found_and_both_say_so() -> None:
    x, y = points()
    x[20], y[[10, 20]] = x[10] + 1e-3, [1, 2]
    conflicts = find_neighbours(x, y, np.array([10])).conflicts
    assert conflicts[[10, 20]].tolist() == [20, 10]


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("distinct", [0, 3, 12])
def test_rows_that_agree_by_chance_in_few_columns_are_no_near_duplicates(
    columns: int, distinct: int
) -> None:
    rng = np.random.default_rng(columns)
    x = torch.from_numpy(rng.random((60, columns), dtype=np.float32))
    x = (x * distinct).floor() / distinct if distinct else x
    conflicts = find_neighbours(x, rng.integers(0, 2, 60), np.arange(60)).conflicts
    assert (conflicts >= 0).sum() <= 2


def test_an_example_far_from_all_others_is_isolated() -> None:
    x, y = points()
    x[5] = 3.0
    isolated = find_neighbours(x, y, np.array([5, 6])).isolated
    assert isolated[5]
    assert not isolated[6]
    assert not find_neighbours(*points(5), np.arange(5)).isolated.any()


def test_distances_in_blocks_are_those_of_all_at_once(monkeypatch) -> None:
    x, y = points()
    x[20], y[[10, 20]] = x[10] + 1e-3, [1, 2]
    doubtful = np.arange(50)
    whole = find_neighbours(x, y, doubtful)
    monkeypatch.setattr(module, "NUMBERS", 600)
    parts = find_neighbours(x, y, doubtful)
    np.testing.assert_array_equal(parts.conflicts, whole.conflicts)
    np.testing.assert_array_equal(parts.isolated, whole.isolated)

"""Near-duplicates with other labels, and examples that are alone."""

import numpy as np
import torch

from byheart.auditing import verdicts as module
from byheart.auditing.verdicts import find_neighbours

CLASSES = 4


def points(n: int = 200) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.random((n, 3, 2), dtype=np.float32)), rng.integers(0, CLASSES, n)


def test_the_same_input_with_another_label_is_found_though_nobody_doubts_it() -> None:
    x, y = points()
    x[[20, 30]], y[[10, 20, 30]] = x[10].clone(), [1, 2, 1]
    conflicts = find_neighbours(x, y, np.array([], np.int64)).conflicts
    assert conflicts[[10, 20, 30]].tolist() == [20, 10, 20]
    assert (np.delete(conflicts, [10, 20, 30]) == -1).all()


def test_the_same_input_with_the_same_label_is_no_conflict() -> None:
    x, y = points()
    x[20], y[20] = x[10].clone(), y[10]
    assert (find_neighbours(x, y, np.array([10, 20])).conflicts == -1).all()


def test_a_near_duplicate_of_a_doubtful_example_is_found_and_both_say_so() -> None:
    x, y = points()
    x[20], y[[10, 20]] = x[10] + 1e-3, [1, 2]
    conflicts = find_neighbours(x, y, np.array([10])).conflicts
    assert conflicts[[10, 20]].tolist() == [20, 10]


def test_an_example_far_from_all_others_is_isolated() -> None:
    x, y = points()
    x[5] = 3.0
    isolated = find_neighbours(x, y, np.array([5, 6])).isolated
    assert isolated[5]
    assert not isolated[6]


def test_distances_in_blocks_are_those_of_all_at_once(monkeypatch) -> None:
    x, y = points()
    x[20], y[[10, 20]] = x[10] + 1e-3, [1, 2]
    doubtful = np.arange(50)
    whole = find_neighbours(x, y, doubtful)
    monkeypatch.setattr(module, "NUMBERS", 600)
    parts = find_neighbours(x, y, doubtful)
    np.testing.assert_array_equal(parts.conflicts, whole.conflicts)
    np.testing.assert_array_equal(parts.isolated, whole.isolated)


def test_a_handful_of_examples_has_no_neighbours_to_speak_of() -> None:
    x, y = points(5)
    found = find_neighbours(x, y, np.arange(5))
    assert not found.isolated.any()

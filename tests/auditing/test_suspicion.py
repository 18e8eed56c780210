"""The window that suspicion is averaged over."""

import numpy as np
import pytest

from byheart.auditing.history import History
from byheart.auditing.scores import suspicion, window_of


@pytest.mark.parametrize(("onset", "window"), [(1, 2), (5, 10), (10, 20), (11, 20), (20, 20)])
def test_the_window_is_twice_as_long_as_to_the_onset_if_the_training_is(
    onset: int, window: int
) -> None:
    assert window_of(onset, 20) == window


def test_a_wrong_label_that_is_learned_by_heart_after_the_window_stays_suspect() -> None:
    """The first is learned at once, the second after epoch 4 and then with a larger margin."""
    margins = np.array([[1.0, -1.0]] * 4 + [[1.0, 9.0]] * 4)
    history = History.from_logits([np.stack([m, np.zeros(2)], 1) for m in margins], [0, 0])
    assert suspicion(history, stop=window_of(2, 8)).tolist() == [-1.0, 1.0]
    assert suspicion(history, stop=8).tolist() == [-1.0, -4.0]

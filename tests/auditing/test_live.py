"""The onset of a training of one's own: live, and afterwards by held-out examples."""

import numpy as np
import pytest
import torch
from tests.auditing.trainings import EXAMPLES, tracked
from torch import nn

import byheart
from byheart.auditing.live import OnsetWatch
from byheart.errors import InputError

RISES_AND_FALLS = [0.3, 0.6, 0.8, 0.85, 0.8, 0.7, 0.65]


def test_the_weights_of_the_best_epoch_are_kept_when_memorization_has_set_in() -> None:
    model, watch = nn.Linear(1, 2), OnsetWatch(patience=2)
    for epoch, accuracy in enumerate(RISES_AND_FALLS, 1):
        nn.init.constant_(model.weight, epoch)
        if watch.end_epoch(model, accuracy=accuracy):
            break
    assert (epoch, watch.epoch) == (6, 4)
    assert watch.restore(model) == 4
    assert model.weight.tolist() == [[4.0], [4.0]]


def held_out(peak: int, epochs: int = 8) -> tuple[byheart.Tracker, list[np.ndarray], np.ndarray]:
    """Return an empty tracker, and logits of held-out examples that are best at an epoch."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    noise = rng.normal(size=(300, 3))
    pace = [2 - 0.4 * abs(epoch - peak) for epoch in range(1, epochs + 1)]
    return byheart.Tracker(300), [noise + p * np.eye(3)[y] for p in pace], y


def test_a_tracker_of_held_out_examples_tells_the_onset_live_and_afterwards() -> None:
    tracker, logits, y = held_out(4)
    watch, stopped = OnsetWatch(tracker), []
    for epoch, z in enumerate(logits, 1):
        tracker.update(range(300), z, y)
        if watch.end_epoch(nn.Linear(1, 1)):
            stopped.append(epoch)
    assert watch.epoch == 4
    assert stopped[0] == 6
    training, _ = tracked()
    audit = byheart.Audit.from_tracker(training, held_out=tracker)
    assert audit.onset.epoch == 4
    assert audit.onset.reached
    assert audit.window == 6
    with pytest.raises(InputError, match="held_out must be one tracker per run: 2, got 1"):
        byheart.Audit.from_tracker([training, training], held_out=tracker)
    with pytest.raises(InputError, match="logits of every held-out example in every epoch"):
        byheart.Audit.from_tracker(training, held_out=training)
    assert len(audit.table) == EXAMPLES


def test_what_a_watch_cannot_use_is_one_line() -> None:
    with pytest.raises(InputError, match="patience must be a whole number of 1 or more, got 0"):
        OnsetWatch(patience=0)
    with pytest.raises(InputError, match="give either a tracker of held-out examples, or accuracy"):
        OnsetWatch().end_epoch(nn.Linear(1, 1))
    with pytest.raises(InputError, match="accuracy must be a finite number, got nan"):
        OnsetWatch().end_epoch(nn.Linear(1, 1), accuracy=float("nan"))
    with pytest.raises(InputError, match="no epoch has ended yet"):
        OnsetWatch().restore(nn.Linear(1, 1))
    assert torch.is_tensor(nn.Linear(1, 1).weight)

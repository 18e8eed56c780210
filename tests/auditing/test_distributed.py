"""Two processes that train together leave the history of one that saw all, checkpoints included."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.auditing.trainings import EPOCHS, EXAMPLES, labels, logits, seen, tracked, train_epoch
from torch import distributed

import byheart
from byheart.auditing.history import History
from byheart.auditing.scores import scores
from byheart.errors import InputError

PROCESSES = 2


def train(rank: int, folder: Path) -> None:
    """Train on half of what each epoch sees, and go back to a checkpoint in the midst of one."""
    tracker = byheart.Tracker(EXAMPLES, folder / "history.sqlite")
    half = np.arange(EXAMPLES) % PROCESSES == rank
    z, y = logits(), labels()
    for epoch, mask in enumerate(seen() & half):
        if epoch != 2:
            train_epoch(tracker, z[epoch], mask, epoch)
            continue
        first, *others = np.array_split(np.flatnonzero(mask), 3)
        tracker.update(first, z[epoch][first], y[first])
        tracker.gather()
        if rank == 0:
            torch.save(tracker.state_dict(), folder / "checkpoint.pt")
        distributed.barrier()
        # A new training, of which all processes load what the first had saved.
        tracker = byheart.Tracker(EXAMPLES, folder / "history.sqlite")
        tracker.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True))
        for ids in others:
            tracker.update(ids, z[epoch][ids], y[ids])
        tracker.end_epoch()
    assert tracker.epoch == EPOCHS
    if rank == 0:
        assert tracker.history().epochs == EPOCHS
    else:
        with pytest.raises(InputError, match="kept by the process of rank 0"):
            tracker.history()


def disagree(rank: int) -> None:
    """Give one example a label in one process and another in the other."""
    tracker = byheart.Tracker(EXAMPLES)
    tracker.update([3], [[1.0, 0.0]], [rank])
    with pytest.raises(InputError, match="example 3 has label 0 in one process and 1 in another"):
        tracker.end_epoch()


def _joined(rank: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES
    )
    train(rank, folder)
    disagree(rank)
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_leave_the_history_of_one_and_are_told_where_they_disagree(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_joined, args=(rank, tmp_path)) for rank in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    _, whole = tracked()
    history = History.open(tmp_path / "history.sqlite")
    np.testing.assert_array_equal(history.seen, whole.seen)
    assert scores(history).equals(scores(whole))

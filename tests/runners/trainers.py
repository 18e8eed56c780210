"""Training functions for the tests of the runners: quick, and some that go wrong.

A pack says what shall happen to it by its number of hidden units.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from byheart.record import Record

FINE, RAISES, KILLED, KILLED_ONCE, FORGETS, SLOW, HANGS, LARGE = range(8, 16)
HANGS_ONCE, BUSY, STOPPED = range(16, 19)
ENOUGH = 3
"""Reports of epochs after which a slow pack has trained long enough."""
BUSY_SECONDS = 3.0
"""Processor time of an epoch that takes long."""


def train(pack, dataset, *, device, on_epoch):
    import torch

    hidden = pack.trials[0].algorithm.network.hidden[0]
    budget = pack.trials[0].algorithm.epochs
    note(f"{hidden} {pack.trials[0].seed} {os.getpid()}")
    for epoch in range(1, budget + 1):
        on_epoch(epoch, budget)
        if hidden == SLOW:
            time.sleep(0.05)
            if heard() >= ENOUGH:
                break
        elif hidden == HANGS or (hidden == HANGS_ONCE and noted(hidden) == 1):
            threading.Event().wait()
        elif hidden in (BUSY, STOPPED):
            compute(BUSY_SECONDS)
    if hidden == RAISES:
        raise RuntimeError("the loss\nwent away")
    if hidden == LARGE and len(pack.trials) > 3:
        raise MemoryError
    if hidden == KILLED or (hidden == KILLED_ONCE and noted(hidden) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    mean = dataset.x.mean().item() + dataset.y.sum().item()
    records = [
        Record(
            trial,
            "budget",
            epochs=budget,
            arrays={"accuracy.train": np.array([mean, trial.seed])},
            seconds=float(os.getpid()),
            threads=torch.get_num_threads(),
            device=device,
        )
        for trial in pack.trials
    ]
    return records[1:] if hidden == FORGETS else records


def compute(seconds: float) -> None:
    """Use so much processor time, however long that takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def heard(epoch: int | None = None) -> int:
    """Return how many reports of epochs the driver has heard, with one that it hears now."""
    log = Path(os.environ["TRAINED"]).with_name("heard.log")
    if epoch is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{epoch}\n")
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0


def note(line: str) -> None:
    """Write down that a pack was begun, in a file that all processes see."""
    log = os.environ.get("TRAINED")
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def noted_pids() -> set[int]:
    """Return the processes that began a pack."""
    lines = Path(os.environ["TRAINED"]).read_text(encoding="utf-8").splitlines()
    return {int(line.split()[2]) for line in lines}


def noted(hidden: int) -> int:
    """Return how often a pack with so many hidden units was begun."""
    lines = Path(os.environ["TRAINED"]).read_text(encoding="utf-8").splitlines()
    return sum(line.split()[0] == str(hidden) for line in lines)

"""Made-up trainings: logits that grow towards the labels, with gaps, and trackers that saw them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tests.auditing.networks import small

import byheart
from byheart.auditing.history import History

EXAMPLES, CLASSES, EPOCHS = 30, 5, 6


def labels(examples: int = EXAMPLES, classes: int = CLASSES) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes, examples)


def logits(seed: int = 0, *, examples: int = EXAMPLES, classes: int = CLASSES) -> np.ndarray:
    """Return logits [E, N, classes] of a network that learns some labels slowly, some never."""
    rng = np.random.default_rng([1, seed])
    z = rng.normal(size=(EPOCHS, examples, classes)).astype(np.float32)
    pace = np.random.default_rng(2).uniform(-0.2, 0.6, examples)
    y = labels(examples, classes)
    for epoch in range(EPOCHS):
        z[epoch, np.arange(examples), y] += (pace * epoch).astype(np.float32)
    return z


def seen(seed: int = 0, *, share: float = 0.8) -> np.ndarray:
    """Return which examples each epoch sees, bool [E, N]; the first example is never seen."""
    mask = np.random.default_rng([3, seed]).random((EPOCHS, EXAMPLES)) < share
    mask[:, 0] = False
    return mask


def curves(seed: int, example: int, mask: np.ndarray) -> list[list[float] | None]:
    """Return what the slow twin takes: an example's logits, None in a gap."""
    z = logits(seed).astype(np.float64)
    return [z[e, example].tolist() if mask[e, example] else None for e in range(EPOCHS)]


def train_epoch(
    tracker: byheart.Tracker, z: np.ndarray, mask: np.ndarray, seed: int, batch: int = 7
) -> None:
    """Show a tracker an epoch in a random order, in batches."""
    ids = np.random.default_rng([4, seed]).permutation(np.flatnonzero(mask))
    y = labels(len(z), z.shape[1])
    for at in range(0, len(ids), batch):
        some = ids[at : at + batch]
        tracker.update(some, z[some], y[some])
    tracker.end_epoch()


def tracked(
    seed: int = 0, mask: np.ndarray | None = None, path: Path | None = None
) -> tuple[byheart.Tracker, History]:
    """Return a tracker that saw a whole training, and its history."""
    mask = seen(seed) if mask is None else mask
    tracker = byheart.Tracker(EXAMPLES, path)
    for epoch, z in enumerate(logits(seed)):
        train_epoch(tracker, z, mask[epoch], epoch)
    return tracker, tracker.history()


class ByHand(NamedTuple):
    """A training in a plain loop, with labels that were changed on purpose."""

    tracker: byheart.Tracker
    planted: byheart.Planted


def flipped_by_hand(data: byheart.Dataset, flips: int = 40, epochs: int = 15) -> ByHand:
    """Train digits in a plain loop, with some labels changed, under a tracker."""
    planted = byheart.plant(data.y.numpy(), flips / len(data))
    y = torch.from_numpy(planted.labels)
    torch.manual_seed(0)
    model, order = small(), np.random.default_rng(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tracker = byheart.Tracker(len(data))
    for _ in range(epochs):
        for ids in torch.from_numpy(order.permutation(len(data))).split(32):
            logits = model(data.x[ids])
            tracker.update(ids, logits, y[ids])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, y[ids]).backward()
            optimizer.step()
        tracker.end_epoch()
    return ByHand(tracker, planted)

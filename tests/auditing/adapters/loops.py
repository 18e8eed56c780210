"""A small training written by hand, that the adapters' libraries shall do the same of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, TensorDataset

import byheart
from byheart.auditing.history import History

EXAMPLES, FEATURES, CLASSES, EPOCHS, BATCH = 45, 6, 3, 4, 8
GAPS = EXAMPLES % BATCH
"""Examples that an epoch does not see where the last batch is dropped."""
ACCURACIES, BEST, STOPPED = (0.6, 0.9, 0.7, 0.4, 0.3, 0.2), 2, 4
"""What a training logs whose onset is epoch 2, which two later epochs show."""


def examples() -> TensorDataset:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, FEATURES, generator=draw)
    return TensorDataset(x, torch.randint(CLASSES, (EXAMPLES,), generator=draw))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)


class Shuffled(Sampler[int]):
    """The order of an epoch hangs on its number alone, as a training that is resumed needs it."""

    def __init__(self, examples: int = EXAMPLES) -> None:
        self.examples, self.epoch = examples, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.examples

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng([5, self.epoch]).permutation(self.examples).tolist())


def batches(dataset: object = None, *, workers: int = 0, batch: int = BATCH) -> DataLoader:
    """Return batches in a shuffled order, of which the last, smaller one is dropped."""
    dataset = byheart.IndexedDataset(examples()) if dataset is None else dataset
    return DataLoader(dataset, batch, sampler=Shuffled(), drop_last=True, num_workers=workers)


def by_hand(*, accumulate: int = 1, batch: int = BATCH) -> History:
    """Return the history of a loop in which the tracker is called as its documentation says."""
    model, loader, tracker = network(), batches(batch=batch), byheart.Tracker(EXAMPLES)
    steps = optimizer(model)
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        for number, (x, y, ids) in enumerate(loader, 1):
            logits = model(x)
            (functional.cross_entropy(logits, y) / accumulate).backward()
            tracker.update(ids, logits, y)
            if number % accumulate == 0 or number == len(loader):
                steps.step()
                steps.zero_grad()
        tracker.end_epoch()
    return tracker.history()


def assert_same(history: History, other: History) -> None:
    """See that two histories are the same, to the bit."""
    assert history.epochs == other.epochs
    np.testing.assert_array_equal(history.margin, other.margin)
    np.testing.assert_array_equal(history.loss, other.loss)
    np.testing.assert_array_equal(history.labels, other.labels)
    np.testing.assert_array_equal(history.alternatives.weights, other.alternatives.weights)

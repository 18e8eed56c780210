"""What following every example costs an epoch: the plain loop with the tracker, and without.

The peer does less: the ratio says how much of the loop's speed is left while it is tracked. What a
million examples take over twenty epochs, in seconds, memory and on disk, is said by
`python -m benchmarks.tracker`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch.utils.data import DataLoader, TensorDataset

import byheart
from benchmarks.duel import Agreement, Duel
from benchmarks.tracker import epoch_seconds

CASES = ((5000, 32), (5000, 128), (60_000, 128))
"""Examples and batch size."""


def followed(tracker: byheart.Tracker, examples: int) -> Agreement:
    """Say whether every example has a score."""
    found = len(tracker.scores())
    return Agreement(found == examples, f"all {found} examples have scores")


def duels() -> Iterator[Duel]:
    for examples, size in CASES:
        draw = torch.Generator().manual_seed(0)
        x = torch.rand(examples, 784, generator=draw)
        y = torch.randint(10, (examples,), generator=draw)
        loader = DataLoader(TensorDataset(torch.arange(examples), x, y), size, shuffle=True)
        tracker = byheart.Tracker(examples)
        yield Duel(
            row="tracking",
            work=f"an epoch of MLP 784-256-256-10, {examples} examples, batch {size}",
            peer="the same loop without the tracker",
            ours=partial(epoch_seconds, loader, tracker),
            theirs=partial(epoch_seconds, loader, None),
            compare=lambda ours, theirs, t=tracker, n=examples: followed(t, n),
            wanted=0.95,
            threads=1,
        )

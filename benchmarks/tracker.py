"""What following every example costs: of a small network's epoch, and for a million examples.

Epochs of a plain PyTorch loop, with and without the tracker, are timed in turn; the million
examples are synthetic logits of ten classes over twenty epochs, and memory is counted beyond those.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import byheart
from byheart.auditing.scores import scores

LOOPS = ((5000, 32, 9), (5000, 128, 9), (60_000, 64, 3), (60_000, 128, 3))
"""Examples, batch size, and rounds."""
MANY, EPOCHS, CLASSES, BATCH = 1_000_000, 20, 10, 1000


def epoch_seconds(
    loader: DataLoader[tuple[Tensor, ...]], tracker: byheart.Tracker | None
) -> tuple[float, float]:
    """Return the processor time of an epoch of 784-256-256-10, and that of its tracking."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    tracking, started = 0.0, time.process_time()
    for ids, x, y in loader:
        optimizer.zero_grad()
        logits = model(x)
        functional.cross_entropy(logits, y).backward()
        optimizer.step()
        if tracker is not None:
            before = time.process_time()
            tracker.update(ids, logits, y)
            tracking += time.process_time() - before
    if tracker is not None:
        before = time.process_time()
        tracker.end_epoch()
        tracking += time.process_time() - before
    return time.process_time() - started, tracking


def share_of_an_epoch(examples: int, batch: int, rounds: int) -> str:
    """Say how much of an epoch the tracker takes, by the medians of epochs in turn."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(examples, 784, generator=draw)
    y = torch.randint(10, (examples,), generator=draw)
    loader = DataLoader(TensorDataset(torch.arange(examples), x, y), batch, shuffle=True)
    tracker = byheart.Tracker(examples)
    shares, gains = [], []
    epoch_seconds(loader, tracker)
    for _ in range(rounds):
        plain, _ = epoch_seconds(loader, None)
        tracked, tracking = epoch_seconds(loader, tracker)
        shares.append(tracking / (tracked - tracking))
        gains.append(tracked / plain - 1)
    return (
        f"epoch of {examples}, batches of {batch}: tracking takes {statistics.median(shares):.1%} "
        f"({min(shares):.1%} to {max(shares):.1%}) of the rest, epochs in turn differ by "
        f"{statistics.median(gains):.1%} ({min(gains):.1%} to {max(gains):.1%})"
    )


def peak() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def a_million() -> str:
    """Say what a million examples over twenty epochs take: memory, seconds and bytes on disk."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((MANY, CLASSES), dtype=np.float32)
    labels = rng.integers(0, CLASSES, MANY)
    order = rng.permutation(MANY)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        before, started = peak(), time.perf_counter()
        tracker = byheart.Tracker(MANY, path)
        for epoch in range(EPOCHS):
            for at in range(0, MANY, BATCH):
                ids = order[at : at + BATCH]
                shift = np.float32(epoch / EPOCHS)
                tracker.update(ids, logits[at : at + BATCH] + shift, labels[ids])
            tracker.end_epoch()
        tracked, middle = time.perf_counter() - started, peak()
        started = time.perf_counter()
        table = scores(tracker.history())
        scored, after = time.perf_counter() - started, peak()
        size = path.stat().st_size / MANY
    assert len(table) == MANY
    return (
        f"{MANY} examples, {EPOCHS} epochs, {CLASSES} classes: tracked in {tracked:.1f} s "
        f"({tracked / EPOCHS / MANY * 1e9:.0f} ns an example and epoch), scores in {scored:.1f} s; "
        f"memory beyond the logits {middle - before:.0f} MB while tracking, "
        f"{after - before:.0f} MB with scores; {size:.1f} bytes an example on disk"
    )


if __name__ == "__main__":
    print(a_million())
    torch.set_num_threads(1)
    for loop in LOOPS:
        print(share_of_an_epoch(*loop))

"""What does stopping at the onset cost? Against the best epoch in hindsight, by true labels.

    python -m benchmarks.audit_onset [digits|mnist] [SEEDS]

Four networks train on data with wrong labels, as an audit trains them, and validation examples with
true labels go along as held-out ones. The onset is found from the noisy labels that each network
held out for it. Lost is the mean validation accuracy of the four at the best epoch, less that at
the onset; the best is chosen by the same validation accuracy, and so in part by luck. The last
column leaves that out: it is the loss on the second half of the validation examples, against the
epoch that is best on the first.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch

import byheart
from benchmarks.audit_data import LEARNING_RATES, NETWORKS, SIZES, mislabelled
from byheart.auditing.following import follow
from byheart.auditing.layout import Layout, hold_out
from byheart.auditing.onset import find_onset
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

RATES = (0.2, 0.4, 0.6)
EPOCHS, NETWORKS_PER_DATA_SET, HELD_OUT = 30, 4, 0.1


@dataclass(frozen=True)
class Row:
    """One data set."""

    epoch: int
    low: int
    high: int
    best: int
    lost: float
    lost_apart: float
    gained: float
    said: tuple[float, float]


def one(source: str, rate: float, seed: int) -> Row:
    """Train on one data set, and return what the onset says and what is true."""
    train, validation = byheart.load_dataset(source).split(*SIZES[source], seed)
    n, m = len(train), len(validation)
    noisy = mislabelled(train, rate, seed)
    data = byheart.Dataset.from_arrays(
        source, torch.cat([noisy.x, validation.x]), torch.cat([noisy.y, validation.y])
    )
    held = hold_out(noisy.y.numpy(), seeds=NETWORKS_PER_DATA_SET, share=HELD_OUT, seed=seed)
    apart = np.tile(np.arange(n, n + m), (NETWORKS_PER_DATA_SET, 1))
    none = np.zeros((NETWORKS_PER_DATA_SET, 0), np.int64)
    layout = Layout(np.concatenate([held.held_out, apart], 1), none, none)
    recipe = Recipe(EPOCHS, LEARNING_RATES[source], 0.0, 0.0, 32, "cpu")
    seeds = [seed_of("audit", seed, k) for k in range(NETWORKS_PER_DATA_SET)]
    histories = follow(NETWORKS[source], data, layout, recipe, seeds).histories
    onset = find_onset(histories, held.held_out, seed=seed)
    right = np.mean([one.margin[:, n:] > 0 for one in histories], axis=0)
    accuracy, half = right.mean(1), m // 2
    first, second = right[:, :half].mean(1), right[:, half:].mean(1)
    at = onset.epoch - 1
    return Row(
        epoch=onset.epoch,
        low=onset.low,
        high=onset.high,
        best=int(accuracy.argmax()) + 1,
        lost=float(accuracy.max() - accuracy[at]),
        lost_apart=float(second[first.argmax()] - second[at]),
        gained=float(accuracy[at] - accuracy[-1]),
        said=(onset.gain_low, onset.gain_high),
    )


def main(source: str, seeds: int) -> None:
    torch.set_num_threads(1)
    for rate in RATES:
        rows = [one(source, rate, seed) for seed in range(seeds)]
        for row in rows:
            print(f"  {row}", flush=True)
        print(f"{source}, {rate:.0%} of labels drawn anew")
        for name in ("lost", "lost_apart", "gained"):
            values = 100 * np.array([getattr(row, name) for row in rows])
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            print(f"  {name}: {values.mean():.2f} points, standard error {error:.2f}")
        holds = np.mean([row.low <= row.best <= row.high for row in rows])
        print(f"  the best epoch is in the interval in {holds:.0%}", flush=True)


if __name__ == "__main__":
    asked = sys.argv[1:] + ["digits", "10"][len(sys.argv) - 1 :]
    main(asked[0], int(asked[1]))

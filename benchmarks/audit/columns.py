"""How do the columns of an audit agree? Rank correlations on digits with a tenth of labels redrawn.

    python -m benchmarks.audit.columns [SEEDS]

Averages over seeds of data, noise and trainings, as a table in Markdown; in brackets the smallest
and the largest of a seed.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import byheart
from benchmarks.audit.cases import LEARNING_RATES, SIZES, mislabelled, mlp_digits
from byheart.training.recipe import Recipe

COLUMNS = (
    "suspicion",
    "aum",
    "cumulative_loss",
    "confidence",
    "variability",
    "first_learned",
    "forgetting_events",
    "sensitivity",
    "critical",
    "memorization",
)
TRAININGS, RADIUS = 60, 0.1


def main(seeds: int) -> None:
    torch.set_num_threads(1)
    found = []
    for seed in range(seeds):
        clean, _ = byheart.load_dataset("digits").split(*SIZES["digits"], seed)
        audit = byheart.audit(
            mlp_digits,
            mislabelled(clean, 0.1, seed),
            recipe=Recipe("sgd", LEARNING_RATES["digits"], "constant", 40, momentum=0.0),
            critical_radius=RADIUS,
            subsets=TRAININGS,
            seed=seed,
        )
        columns = audit.table[list(COLUMNS)].astype(float)
        found.append(columns.corr(method="spearman").to_numpy())
        print(f"seed {seed}: {audit.table['critical'].mean():.0%} critical", flush=True)
    each = np.stack(found)
    print("\n| |", " | ".join(COLUMNS[:-1]), "|")
    print("|---" * len(COLUMNS) + "|")
    for i, name in enumerate(COLUMNS[1:], 1):
        cells = [
            f"{each[:, i, j].mean():.2f} [{each[:, i, j].min():.2f}, {each[:, i, j].max():.2f}]"
            for j in range(i)
        ]
        cells += [""] * (len(COLUMNS) - 1 - i)
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

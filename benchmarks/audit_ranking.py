"""Which ranking finds wrong labels best? The audit's, beside those of its peers, at equal cost.

    python -m benchmarks.audit_ranking [digits|mnist] [SEEDS]

All train the same network in the same way for as many epochs: the audit four times on 90% of the
examples (of which its second half has planted flips), AUM, cumulative loss, cartography and
forgetting four times on all, and cleanlab's scores five times on 80%, each example being scored by
the network that did not train on it. Cleanlab's is taken at the best of all epochs and of its two
scores, which nobody can know without the truth; so that it is not beaten for want of a good epoch.
Differences of AUROC are paired by data set.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

import byheart
from benchmarks.audit_data import LEARNING_RATES, NETWORKS, SIZES, mislabelled
from byheart.auditing.following import follow
from byheart.auditing.history import History
from byheart.auditing.layout import Layout
from byheart.auditing.scores import (
    area_under_margin,
    confidence,
    cumulative_loss,
    forgetting_events,
)
from byheart.seeds import generator
from byheart.seeds import seed as seed_of
from byheart.statistics.inference import bca_interval
from byheart.training.recipe import Recipe

Floats = NDArray[np.float64]

KINDS = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.2, True))
"""Rate, and whether classes that look alike are confused."""
EPOCHS, TRAININGS, FOLDS = 30, 4, 5


def peers(
    source: str, data: byheart.Dataset, wrong: NDArray[np.bool_], seed: int
) -> dict[str, Floats]:
    """Return each peer's scores: the higher, the more suspect."""
    recipe = Recipe(EPOCHS, LEARNING_RATES[source], 0.0, 0.0, 32, "cpu")

    def trained(held_out: NDArray[np.int64]) -> list[History]:
        none = np.zeros((len(held_out), 0), np.int64)
        seeds = [seed_of("peer", seed, k) for k in range(len(held_out))]
        layout = Layout(held_out, none, none)
        return follow(NETWORKS[source], data, layout, recipe, seeds).histories

    whole = trained(np.zeros((TRAININGS, 0), np.int64))
    order = generator("folds", seed).permutation(len(data))
    size = len(data) // FOLDS
    folds = np.stack([order[k * size : (k + 1) * size] for k in range(FOLDS)])
    return {
        "AUM": -area_under_margin(whole),
        "cumulative loss": cumulative_loss(whole),
        "cartography": -confidence(whole),
        "forgetting": forgetting_events(whole),
        "final loss": np.mean([one.loss[-1].astype(float) for one in whole], axis=0),
        "cleanlab, best epoch": best_of_cleanlab(trained(folds), folds, wrong),
    }


def best_of_cleanlab(
    histories: Sequence[History], folds: NDArray[np.int64], wrong: NDArray[np.bool_]
) -> Floats:
    """Return self-confidence or normalized margin, out of fold, at the epoch that ranks best."""
    best, most = np.zeros(len(wrong)), -1.0
    scored = np.zeros(len(wrong), bool)
    scored[folds.ravel()] = True
    for epoch in range(EPOCHS):
        own, rival = np.zeros(len(wrong)), np.zeros(len(wrong))
        for history, ids in zip(histories, folds, strict=True):
            seen = history.epoch(epoch)
            own[ids] = np.exp(-seen.loss[ids])
            rival[ids] = np.exp(-seen.margin[ids] - seen.loss[ids])
        for scores in (-own, rival - own):
            found = roc_auc_score(wrong[scored], scores[scored])
            if found > most:
                best, most = scores, found
    return np.where(scored, best, best.mean())


def compare(source: str, rate: float, pairs: bool, seed: int) -> dict[str, tuple[float, float]]:
    """Return AUROC and average precision of every ranking on one data set."""
    clean, _ = byheart.load_dataset(source).split(*SIZES[source], seed)
    data = mislabelled(clean, rate, seed, pairs=pairs)
    wrong = (data.y != data.clean_y).numpy()
    audit = byheart.audit(
        NETWORKS[source],
        data,
        epochs=EPOCHS,
        seeds=TRAININGS,
        learning_rate=LEARNING_RATES[source],
        sensitivity=False,
        seed=seed,
    )
    scores = {"byheart": audit.table["suspicion"].to_numpy(), **peers(source, data, wrong, seed)}
    return {
        name: (float(roc_auc_score(wrong, one)), float(average_precision_score(wrong, one)))
        for name, one in scores.items()
    }


def main(source: str, seeds: int) -> None:
    torch.set_num_threads(1)
    for rate, pairs in KINDS:
        rows = [compare(source, rate, pairs, seed) for seed in range(seeds)]
        print(f"{source}, {rate:.0%} {'look-alikes confused' if pairs else 'drawn anew'}")
        for name in rows[0]:
            area, precision = np.mean([row[name] for row in rows], axis=0)
            gain = [row["byheart"][0] - row[name][0] for row in rows]
            low, high = bca_interval(gain, name=name)
            ratio = np.mean([1 - row["byheart"][0] for row in rows]) / (1 - area)
            print(
                f"  {name:22} AUROC {area:.4f}, average precision {precision:.4f}; "
                f"byheart is better by {np.mean(gain):+.4f} [{low:+.4f}, {high:+.4f}], "
                f"and misses {ratio:.2f} times as much",
                flush=True,
            )


if __name__ == "__main__":
    asked = sys.argv[1:] + ["digits", "5"][len(sys.argv) - 1 :]
    main(asked[0], int(asked[1]))

"""What byheart's own audit says: its ranking, its intervals, and its onset."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import byheart
from benchmarks.audit.cases import EPOCHS, LEARNING_RATES, NETWORKS, TRAININGS, Case
from benchmarks.audit.metrics import metrics
from byheart.auditing.onset import find_onset
from byheart.auditing.planting import Layout, hold_out
from byheart.auditing.run import HELD_OUT
from byheart.auditing.training import train_runs
from byheart.data.dataset import Dataset
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

FORWARD_COST = 1 / 3
"""Cost of a forward pass, in training steps."""
PRECISION = 0.9
REVIEWS, REVIEW_DRAWS = 100, 10


def affordable(epochs: int) -> int:
    """Return how many epochs cost as much as ``epochs`` over all examples, held-out ones included.

    Formula: epochs / (1 - h + h / 3), with h the share that is held out.
    """
    return int(epochs / (1 - HELD_OUT + HELD_OUT * FORWARD_COST))


def ranking(case: Case) -> dict[str, Any]:
    """Return the metrics of the audit's ranking, its onset and its window."""
    data, _ = case.data()
    audit = byheart.audit(
        NETWORKS[case.source],
        data,
        recipe=case.recipe(affordable(EPOCHS)),
        seeds=TRAININGS,
        sensitivity=False,
        seed=case.seed,
    )
    assert audit.onset is not None
    scores = np.empty(len(data))
    scores[audit.ranking] = np.arange(len(data), 0, -1)
    return {
        "onset": audit.onset.epoch,
        "window": audit.window,
        "rankings": {"byheart": metrics((data.y != data.clean_y).numpy(), scores)},
    }


def calibration(case: Case) -> dict[str, Any]:
    """Return what reviews of an audit estimate, and what is true.

    Each draw reviews other examples; the reviewer knows the right labels.
    """
    data = case.audited()
    wrong = (data.y != data.clean_y).numpy()
    audit = byheart.audit(
        NETWORKS[case.source],
        data,
        recipe=Recipe("sgd", LEARNING_RATES[case.source], "constant", momentum=0.0, device="cpu"),
        precision=PRECISION,
        seed=case.seed,
    )
    return {"draws": [_reviewed(audit, wrong, seed) for seed in range(REVIEW_DRAWS)]}


def _reviewed(audit: byheart.Audit, wrong: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    ids = audit.to_review(REVIEWS, seed=seed).index
    found = audit.review({int(i): bool(wrong[i]) for i in ids}).calibration
    listed = wrong[found.flagged]
    truth = {
        "precision": float(listed.mean()),
        "recall": float(listed.sum() / wrong.sum()),
        "mislabelled": float(wrong.sum()),
    }
    row: dict[str, Any] = {"listed": len(listed), "assured": found.assured}
    for name, true in truth.items():
        estimate = getattr(found, name)
        ends = {"low": estimate.low, "high": estimate.high}
        row[name] = {"true": true, "said": estimate.value} | ends
    return row


def onset(case: Case) -> dict[str, Any]:
    """Train on one data set, and return what the onset says and what is true.

    Four networks train as in an audit. Validation examples with true labels are held out beside
    the noisy ones. The onset is found from the noisy ones alone.
    """
    noisy, validation = case.data()
    n, m = len(noisy), len(validation)
    data = Dataset.from_arrays(
        case.source, torch.cat([noisy.x, validation.x]), torch.cat([noisy.y, validation.y])
    )
    held = hold_out(noisy.y.numpy(), seeds=TRAININGS, share=HELD_OUT, seed=case.seed)
    with_validation = np.tile(np.arange(n, n + m), (TRAININGS, 1))
    none = np.zeros((TRAININGS, 0), np.int64)
    layout = Layout(np.concatenate([held.held_out, with_validation], 1), none, none)
    seeds = [seed_of("audit", case.seed, k) for k in range(TRAININGS)]
    histories = train_runs(NETWORKS[case.source], data, layout, case.recipe(), seeds).histories
    result = find_onset(histories, held.held_out, seed=case.seed)
    right = np.mean([history.margin[:, n:] > 0 for history in histories], axis=0)
    return {
        "epoch": result.epoch,
        "low": result.low,
        "high": result.high,
        "gain": {"said": result.gain, "low": result.gain_low, "high": result.gain_high},
        "first half": right[:, : m // 2].mean(1).tolist(),
        "second half": right[:, m // 2 :].mean(1).tolist(),
    }

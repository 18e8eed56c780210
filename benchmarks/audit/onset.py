"""What does stopping at the onset cost, by true labels?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.audit.cases import Case
from benchmarks.audit_data import LEARNING_RATES, NETWORKS
from byheart.auditing.following import follow
from byheart.auditing.layout import Layout, hold_out
from byheart.auditing.onset import find_onset
from byheart.auditing.rounds import HELD_OUT
from byheart.data.dataset import Dataset
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

EPOCHS, TRAININGS = 30, 4


def measure(case: Case) -> dict[str, Any]:
    """Train on one data set, and return what the onset says and what is true.

    Four networks train as an audit trains them, and validation examples with true labels go along
    as held-out ones. The onset is found from the noisy labels that each network held out for it.
    """
    noisy, validation = case.data()
    n, m = len(noisy), len(validation)
    data = Dataset.from_arrays(
        case.source, torch.cat([noisy.x, validation.x]), torch.cat([noisy.y, validation.y])
    )
    held = hold_out(noisy.y.numpy(), seeds=TRAININGS, share=HELD_OUT, seed=case.seed)
    apart = np.tile(np.arange(n, n + m), (TRAININGS, 1))
    none = np.zeros((TRAININGS, 0), np.int64)
    layout = Layout(np.concatenate([held.held_out, apart], 1), none, none)
    recipe = Recipe(EPOCHS, LEARNING_RATES[case.source], 0.0, 0.0, 32, "cpu")
    seeds = [seed_of("audit", case.seed, k) for k in range(TRAININGS)]
    histories = follow(NETWORKS[case.source], data, layout, recipe, seeds).histories
    onset = find_onset(histories, held.held_out, seed=case.seed)
    right = np.mean([one.margin[:, n:] > 0 for one in histories], axis=0)
    return {
        "epoch": onset.epoch,
        "low": onset.low,
        "high": onset.high,
        "gain": {"said": onset.gain, "low": onset.gain_low, "high": onset.gain_high},
        "first half": right[:, : m // 2].mean(1).tolist(),
        "second half": right[:, m // 2 :].mean(1).tolist(),
    }

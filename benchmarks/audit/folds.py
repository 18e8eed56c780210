"""cleanlab's scores, from five networks that each leave out a fifth of the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from benchmarks.audit.budget import recipe
from benchmarks.audit.cases import Case
from benchmarks.audit.scored import METRICS, Floats, scored
from benchmarks.audit.training import examples_of, loop_of
from benchmarks.audit_data import NETWORKS
from byheart.data.dataset import Dataset
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

FOLDS = 5


def measure(case: Case) -> dict[str, Any]:
    """Return each metric after every epoch [E], of each score."""
    data, _ = case.data()
    y, wrong = data.y.numpy(), (data.y != data.clean_y).numpy()
    found: dict[str, dict[str, list[float]]] = {}
    for epoch in out_of_fold(NETWORKS[case.source], data, recipe(case), seed=case.seed):
        for name, scores in of_cleanlab(epoch, y).items():
            each = found.setdefault(name, {metric: [] for metric in METRICS})
            for metric, value in scored(wrong, scores).items():
                each[metric].append(value)
    return {"cleanlab": found}


def out_of_fold(source: Source, data: Dataset, recipe: Recipe, *, seed: int) -> NDArray[np.float64]:
    """Return out-of-sample probabilities [E, N, classes] after every epoch.

    An example's are those of the network that did not train on it. Folds are stratified, as
    cleanlab's users do it; their number divides that of the examples.
    """
    y = data.y.numpy()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(y, y)
    trained, held_out = (np.stack(ids) for ids in zip(*folds, strict=True))
    seeds = [seed_of("fold", seed, k) for k in range(FOLDS)]
    examples = examples_of(data, torch.from_numpy(trained), torch.from_numpy(held_out))
    loop = loop_of(source, data, examples, recipe, seeds)
    probabilities = np.zeros((recipe.epochs, len(data), data.n_classes))
    for epoch in range(recipe.epochs):
        loop.train_epoch()
        logits = examples.logits(loop.network, examples.validation_rows)
        probabilities[epoch, held_out] = torch.softmax(logits.double(), 2).numpy()
    return probabilities


def of_cleanlab(probabilities: NDArray[np.float64], y: NDArray[np.int64]) -> dict[str, Floats]:
    """Return cleanlab's two scores of single labels, with their sign turned: high is suspect.

    Args:
        probabilities: [N, classes] out of sample.
        y: [N] labels.
    """
    from cleanlab.rank import (
        get_normalized_margin_for_each_label,
        get_self_confidence_for_each_label,
    )

    return {
        "self-confidence": -get_self_confidence_for_each_label(y, probabilities),
        "normalized margin": -get_normalized_margin_for_each_label(y, probabilities),
    }

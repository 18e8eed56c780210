"""Data with wrong labels, and networks, for the benchmarks of the audit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import byheart
from byheart.seeds import generator

MIXED_UP = (6, 7, 3, 5, 9, 3, 5, 1, 3, 4)
"""For each digit, one that it is taken for."""
SIZES = {"digits": (1300, 400), "mnist": (5000, 2000)}
"""Training and validation examples."""


def mlp_digits() -> nn.Module:
    """64-64-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp_mnist() -> nn.Module:
    """784-256-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


NETWORKS = {"digits": mlp_digits, "mnist": mlp_mnist}
LEARNING_RATES = {"digits": 0.1, "mnist": 0.05}


def mislabelled(
    dataset: byheart.Dataset, rate: float, seed: int, *, pairs: bool = False
) -> byheart.Dataset:
    """Return a data set with wrong labels.

    Args:
        dataset: with right ones.
        rate: share of labels that are drawn anew from all classes, the right one included; or of
            those that become the digit that theirs is taken for.
        seed: of the draw.
        pairs: confuse digits that look alike.
    """
    if not pairs:
        return byheart.corrupt(dataset, labels=rate, seed=seed)
    hit = torch.from_numpy(generator("pairs", seed).random(len(dataset)) < rate)
    y = torch.where(hit, torch.tensor(MIXED_UP)[dataset.y], dataset.y)
    return replace(dataset, y=y, noisy_labels=hit)

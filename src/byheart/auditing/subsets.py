"""Feldman and Zhang's estimates: runs on random subsets, with and without each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from byheart.auditing.planting import Layout
from byheart.auditing.scores import ratio
from byheart.auditing.training import Runs
from byheart.data.dataset import Dataset
from byheart.seeds import generator
from byheart.seeds import seed as seed_of

Floats = NDArray[np.float64]

SHARE = 0.7
"""Fraction of the examples in a subset, as in the paper."""
CHUNK = 256


def train_on_subsets(
    train: Callable[..., Runs], dataset: Dataset, device: str, *, count: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Train ``count`` networks on random subsets of 70% each, and compare; see :func:`estimate`."""
    out = len(dataset) - round(SHARE * len(dataset))
    left_out = [generator("subset", seed, k).permutation(len(dataset))[:out] for k in range(count)]
    none = np.zeros((count, 0), np.int64)
    layout = Layout(np.stack(left_out), none, none)
    seeds = [seed_of("subset training", seed, k) for k in range(count)]
    networks = train(layout, seeds=seeds, with_histories=False).networks
    inside = np.ones((count, len(dataset)), bool)
    inside[np.arange(count)[:, None], layout.held_out] = False
    return estimate(inside, _correct(networks, dataset, device), dataset.y.numpy())


def estimate(
    inside: NDArray[np.bool_], correct: NDArray[np.bool_], labels: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    r"""Return memorization and influence from what was trained on and what was right.

    Columns of [N]: ``memorization``, P(correct) with the example less that without it, is NaN if
    every run had the example, or none did. ``influenced_by`` is the id of the training example of
    the same label that raises P(correct) most, or -1; ``influence`` is by how much. Both have a
    standard error; that of influence ignores that it is the largest of many.

    Formula: infl(i -> j) = P(f(x_j) = y_j | i inside) - P(f(x_j) = y_j | i not inside), shares of
    the trainings on either side; mem(i) = infl(i -> i). The standard error is
    sqrt(p (1 - p) / (n + 2) + q (1 - q) / (m + 2)), with p and q the two shares after one success
    and one failure were added to each side (Agresti & Caffo 2000), so that 5 of 5 is not certain.

    Args:
        inside: [K, N] whether a training had an example.
        correct: [K, N] whether its network classifies an example as labelled.
        labels: [N]; influence is sought among examples of the same label.

    Source: Feldman & Zhang (2020), equations 1 and 2, and section 2.1.
    """
    of_itself = _Sides.of(
        inside.sum(0), len(inside), (inside & correct).sum(0), (~inside & correct).sum(0)
    )
    examples = len(labels)
    by, most, error = np.full(examples, -1), np.full(examples, np.nan), np.full(examples, np.nan)
    had, got = inside.astype(np.float32), correct.astype(np.float32)
    for label in np.unique(labels):
        alike = np.flatnonzero(labels == label)
        if len(alike) < 2:
            continue
        for part in np.array_split(alike, -(-len(alike) // CHUNK)):
            sides = _Sides.of(
                inside[:, alike].sum(0)[:, None],
                len(inside),
                had[:, alike].T @ got[:, part],
                (1 - had[:, alike]).T @ got[:, part],
            )
            effect = np.where(
                alike[:, None] == part, -np.inf, np.nan_to_num(sides.effect, nan=-np.inf)
            )
            top = effect.argmax(0)
            column = np.arange(len(part))
            known = np.isfinite(effect[top, column])
            by[part[known]] = alike[top[known]]
            most[part[known]] = effect[top, column][known]
            error[part[known]] = sides.error[top, column][known]
    return {
        "memorization": of_itself.effect.astype(np.float32),
        "memorization_error": of_itself.error.astype(np.float32),
        "influenced_by": by,
        "influence": most.astype(np.float32),
        "influence_error": error.astype(np.float32),
    }


@dataclass(frozen=True, eq=False)
class _Sides:
    """Shares of right answers with an example and without it, and their difference."""

    effect: Floats
    error: Floats

    @classmethod
    def of(
        cls, n: NDArray[Any], of: int, right: NDArray[Any], right_without: NDArray[Any]
    ) -> _Sides:
        m = of - n
        n, m = np.broadcast_to(n, right.shape), np.broadcast_to(m, right.shape)
        effect = ratio(right, n) - ratio(right_without, m)
        p, q = (right + 1) / (n + 2), (right_without + 1) / (m + 2)
        error = np.sqrt(p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2))
        return cls(effect, np.where(np.isnan(effect), np.nan, error))


@torch.no_grad()
def _correct(networks: Sequence[nn.Module], dataset: Dataset, device: str) -> NDArray[np.bool_]:
    """Return which examples each network classifies as labelled, [K, N]."""
    rows = []
    for network in networks:
        parts = [network(part.to(device)).argmax(1).cpu() for part in torch.split(dataset.x, CHUNK)]
        rows.append((torch.cat(parts) == dataset.y.cpu()).numpy())
    return np.stack(rows)

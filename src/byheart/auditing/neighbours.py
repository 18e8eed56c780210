"""What lies next to a doubtful example: a near-duplicate with another label, or nothing at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.auditing.layout import Ids
from byheart.seeds import generator

NEIGHBOUR = 5
"""An example is isolated if its fifth neighbour is far away."""
FAR = 0.95
"""Quantile of that distance among examples at large, above which it is."""
CLOSE = 0.25
"""Two examples are near-duplicates below so many typical distances to a nearest neighbour."""
AT_MOST = 2_000
"""Doubtful examples that are looked at, the most suspect first."""
AT_LARGE = 500
"""Examples that say what is typical."""
NUMBERS = 2**24
"""Distances that are held at once."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What was found.

    Attributes:
        conflicts: int64 [N] id of the nearest near-duplicate with another label; -1 if none was
            found.
        isolated: bool [N] of the doubtful examples, those far from all others.
    """

    conflicts: Ids
    isolated: NDArray[np.bool_]


def find_neighbours(x: Tensor, labels: Ids, doubtful: Ids, *, seed: int = 0) -> Neighbours:
    """Look around doubtful examples, by Euclidean distance of inputs.

    Identical inputs with different labels are found among all examples; near ones, and whether an
    example is isolated, are looked for around the 2,000 most doubtful. That takes 2,500 rows of
    distances, of which a block is held at a time.

    Args:
        x: [N, *shape] inputs.
        labels: [N].
        doubtful: ids, the most doubtful first.
        seed: draws the 500 examples that say which distances are typical.
    """
    flat, asked = x.flatten(1), doubtful[:AT_MOST]
    conflicts = _duplicates(flat, labels)
    isolated = np.zeros(len(labels), bool)
    if len(asked) and len(labels) > NEIGHBOUR + 1:
        rng = generator("neighbours", seed)
        at_large = rng.choice(len(labels), min(AT_LARGE, len(labels)), replace=False)
        usual = _around(flat, labels, at_large)
        found = _around(flat, labels, asked)
        isolated[asked] = found.fifth > np.quantile(usual.fifth, FAR)
        near = found.other_distance < CLOSE * np.median(usual.nearest)
        pairs = zip(asked[near].tolist(), found.other[near].tolist(), strict=True)
        for one, other in pairs:
            for a, b in ((one, other), (other, one)):
                if conflicts[a] < 0:
                    conflicts[a] = b
    return Neighbours(conflicts, isolated)


@dataclass(frozen=True, eq=False)
class _Around:
    """Distances from some examples to their neighbours, [Q] each."""

    nearest: NDArray[np.float64]
    fifth: NDArray[np.float64]
    other: Ids
    other_distance: NDArray[np.float64]


def _around(flat: Tensor, labels: Ids, ids: Ids) -> _Around:
    squares, y = torch.linalg.vector_norm(flat, dim=1) ** 2, torch.from_numpy(labels)
    parts = []
    for part in torch.split(torch.from_numpy(ids), max(1, NUMBERS // len(flat))):
        distance = squares[part, None] + squares - 2 * flat[part] @ flat.T
        distance[torch.arange(len(part)), part] = torch.inf
        sorted_ = distance.topk(NEIGHBOUR, largest=False).values
        distance[y[part, None] == y] = torch.inf
        parts.append((sorted_[:, 0], sorted_[:, -1], distance.argmin(1)))
    nearest, fifth, other = (torch.cat(columns) for columns in zip(*parts, strict=True))
    # The expanded square loses the digits of a small distance: it is taken again, of the pair.
    exact = (flat[torch.from_numpy(ids)].double() - flat[other].double()).norm(dim=1)
    roots = [one.clamp(min=0).sqrt().double().numpy() for one in (nearest, fifth)]
    return _Around(roots[0], roots[1], other.numpy(), exact.numpy())


def _duplicates(flat: Tensor, labels: Ids) -> Ids:
    """Return for each example the first with the same input and another label, or -1."""
    rows, conflicts = flat.numpy(), np.full(len(labels), -1)
    hashes = np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows))
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=hashes[order[0]] - 1))
    sizes = np.diff(starts, append=len(rows))
    for at in np.flatnonzero(sizes > 1):
        group = order[starts[at] : starts[at] + sizes[at]]
        if len(set(labels[group])) == 1:
            continue
        for one in group:
            others = (
                two
                for two in group
                if labels[two] != labels[one] and np.array_equal(rows[one], rows[two])
            )
            conflicts[one] = next(others, -1)
    return conflicts

"""Which examples a seed holds out, and which it trains on with a label that was planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.seeds import generator

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """What S trainings do with N examples.

    Attributes:
        held_out: int64 [S, H] ids that a seed does not train on.
        planted: int64 [S, P] ids that it trains on with another label.
        planted_labels: int64 [S, P] that label.
    """

    held_out: Ids
    planted: Ids
    planted_labels: Ids

    def seeds(self, start: int, stop: int) -> Layout:
        """Return the layout of some of the seeds."""
        rows = slice(start, stop)
        return Layout(self.held_out[rows], self.planted[rows], self.planted_labels[rows])

    def trained(self, seed: int, examples: int) -> Ids:
        """Return the ids that a seed trains on, planted ones included, ascending."""
        mask = np.ones(examples, bool)
        mask[self.held_out[seed]] = False
        return np.flatnonzero(mask)

    def labels(self, seed: int, y: Ids) -> Ids:
        """Return the labels [N] that a seed trains on."""
        changed = y.copy()
        changed[self.planted[seed]] = self.planted_labels[seed]
        return changed


def hold_out(y: Ids, *, seeds: int, share: float, seed: int) -> Layout:
    """Draw what each seed holds out; nothing is planted.

    All examples are put in one random order, of which each seed takes the next stretch: as long as
    ``seeds * share`` is at most 1, no example is held out twice.

    Args:
        y: [N] the user's labels.
        seeds: number of trainings S.
        share: of examples that a seed does not train on.
        seed: of the draw.
    """
    order = generator("held out", seed).permutation(len(y))
    count = round(share * len(y))
    at = np.arange(count) + np.arange(seeds)[:, None] * count
    none = np.zeros((seeds, 0), np.int64)
    return Layout(order[at % len(y)], none, none)

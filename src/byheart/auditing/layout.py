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


def draw_layout(y: Ids, *, seeds: int, held_out: float, planted: float, seed: int) -> Layout:
    """Draw what each seed holds out and plants.

    All examples are put in one random order, of which each seed takes the next stretch: as long as
    ``seeds * (held_out + planted)`` is at most 1, no example is held out or planted twice, and
    every one has at least ``seeds - 1`` trainings with the user's label. A planted label is drawn
    from the other classes that have examples, all equally likely.

    Args:
        y: [N] the user's labels.
        seeds: number of trainings S.
        held_out: share of examples that a seed does not train on.
        planted: share that it trains on with another label.
        seed: of the draw.
    """
    rng = generator("audit layout", seed)
    order = rng.permutation(len(y))
    out, flip = round(held_out * len(y)), round(planted * len(y))
    at = np.arange(out + flip) + np.arange(seeds)[:, None] * (out + flip)
    taken = order[at % len(y)]
    ids = taken[:, out:]
    return Layout(taken[:, :out], ids, _others(y[ids], np.unique(y), rng))


def _others(y: Ids, classes: Ids, rng: np.random.Generator) -> Ids:
    """Return for each label another one of the classes."""
    own = np.searchsorted(classes, y)
    step = rng.integers(1, len(classes), y.shape)
    others: Ids = classes[(own + step) % len(classes)]
    return others
